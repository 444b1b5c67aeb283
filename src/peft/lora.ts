/** @file Low-rank adapters (Hu et al. 2021), with PEFT's names, defaults and initial values. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import type { Linear } from "../nn/index.js";
import { kaimingUniform, Module, type LinearAdapter, type LowRank } from "../nn/index.js";
import { Random } from "../random.js";
import { add, dropout, linear, mul, Parameter, type Tensor } from "../tensor/index.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";

export interface LoraConfig {
  /** Rank: inner size of the two matrices. Default 8. */
  readonly r: number;
  /** The update is scaled by loraAlpha / r. Default 8. */
  readonly loraAlpha: number;
  /** Dropout of the adapter's input in training, in [0, 1). Default 0. */
  readonly loraDropout: number;
  /** Names of linear layers: the whole path, or its end after a dot. Default q_proj and v_proj. */
  readonly targetModules: readonly string[];
}

export const defaultLoraConfig: LoraConfig = {
  r: 8,
  loraAlpha: 8,
  loraDropout: 0,
  targetModules: ["q_proj", "v_proj"],
};

/** Adds (loraAlpha / r) B A dropout(x) to a linear layer's output. A [r, in] and B [out, r] are kept in float32. */
export class LoraAdapter extends Module implements LinearAdapter {
  readonly loraA: Parameter;
  readonly loraB: Parameter;
  readonly #scale: number;
  readonly #dropout: number;

  constructor(loraA: Parameter, loraB: Parameter, config: LoraConfig) {
    super();
    this.loraA = loraA;
    this.loraB = loraB;
    this.#scale = config.loraAlpha / config.r;
    this.#dropout = config.loraDropout;
  }

  get scale(): number {
    return this.#scale;
  }

  delta(x: Tensor): Tensor {
    const { down, up } = this.#matrices(x.dtype);
    return linear(linear(dropout(x, this.#dropout), down), up);
  }

  factors(dtype: DType): LowRank | undefined {
    return this.#dropout > 0 ? undefined : this.#matrices(dtype);
  }

  /** The factor goes to A, whose product with it is computed once a step. */
  #matrices(dtype: DType): LowRank {
    return { down: mul(this.loraA, this.#scale).to(dtype), up: this.loraB.to(dtype) };
  }

  merged(weight: Tensor): Tensor {
    return add(weight.to(this.loraB.dtype), mul(this.loraB.matmul(this.loraA), this.#scale));
  }
}

const matches = (path: string, target: string): boolean => path === target || path.endsWith(`.${target}`);

function validate(config: LoraConfig): void {
  const { r, loraAlpha, loraDropout, targetModules } = config;
  const refuse = (subject: string, value: unknown, reason: string): never => {
    throw new CraftError({ subject, value, reason });
  };
  if (!Number.isInteger(r) || r < 1) refuse("lora_r", r, "must be a whole number from 1 on");
  if (!(loraAlpha > 0)) refuse("lora_alpha", loraAlpha, "must be positive");
  if (!(loraDropout >= 0 && loraDropout < 1))
    refuse("lora_dropout", loraDropout, "must be at least 0 and below 1");
  if (targetModules.length === 0)
    refuse("lora_target_modules", targetModules, "must name at least one layer");
}

/** The linear layers that a config adapts, with their paths. */
export function targetLayers(model: CausalLM, config: LoraConfig): (readonly [string, Linear])[] {
  const layers = [...model.linearLayers()];
  for (const target of config.targetModules) {
    if (layers.some(([path]) => matches(path, target))) continue;
    const names = [...new Set(layers.map(([path]) => path.split(".").at(-1)))];
    throw new CraftError({
      subject: "lora_target_modules",
      value: target,
      reason: "matches no linear layer of the model",
      remedy: `Layers end in ${names.join(", ")}.`,
    });
  }
  return layers.filter(([path]) => config.targetModules.some((target) => matches(path, target)));
}

/** A model whose own weights are frozen and whose adapters learn. */
export class LoraModel {
  readonly model: CausalLM;
  readonly config: LoraConfig;
  readonly adapters: ReadonlyMap<string, LoraAdapter>;

  private constructor(model: CausalLM, config: LoraConfig, adapters: ReadonlyMap<string, LoraAdapter>) {
    this.model = model;
    this.config = config;
    this.adapters = adapters;
  }

  /**
   * Freezes the model and attaches new adapters: A uniform in +-1/sqrt(in), B zero, so that nothing changes at first.
   *
   * @param seed of A
   */
  static create(model: CausalLM, options: Partial<LoraConfig> = {}, seed = 0): LoraModel {
    const config = { ...defaultLoraConfig, ...options };
    return LoraModel.attach(model, config, (path, layer) => ({
      a: kaimingUniform(new Random(seed, "lora_A", path), [config.r, layer.inFeatures]),
      b: DeviceTensor.full([layer.outFeatures, config.r], 0),
    }));
  }

  /** Attaches adapters with the given matrices, A [r, in] and B [out, r], float32. */
  static attach(
    model: CausalLM,
    config: LoraConfig,
    matrices: (path: string, layer: Linear) => { readonly a: DeviceTensor; readonly b: DeviceTensor },
  ): LoraModel {
    validate(config);
    model.setTrainable(false);
    const adapters = new Map<string, LoraAdapter>();
    for (const [path, layer] of targetLayers(model, config)) {
      if (layer.adapter !== undefined) {
        throw new CraftError({ subject: path, reason: "has an adapter already", remedy: "Detach it first." });
      }
      const { a, b } = matrices(path, layer);
      const adapter = new LoraAdapter(new Parameter(a), new Parameter(b), config);
      layer.adapter = adapter;
      adapters.set(path, adapter);
    }
    return new LoraModel(model, config, adapters);
  }

  /** Adapter parameters under PEFT's names, e.g. `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  *namedParameters(): Generator<readonly [string, Parameter]> {
    for (const [path, adapter] of this.adapters) {
      yield [`base_model.model.${path}.lora_A.weight`, adapter.loraA];
      yield [`base_model.model.${path}.lora_B.weight`, adapter.loraB];
    }
  }

  parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, parameter]) => parameter);
  }

  /** Takes the adapters off the model and frees them. */
  detach(): void {
    for (const [path, layer] of this.model.linearLayers())
      if (this.adapters.has(path)) layer.adapter = undefined;
    for (const adapter of this.adapters.values()) adapter.dispose();
  }
}
