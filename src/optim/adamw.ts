/** @file AdamW (Loshchilov & Hutter 2019), by PyTorch's fused kernel. */
import { CraftError } from "../errors.js";
import type { Parameter } from "../tensor/parameter.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { FusedAdamW } from "../torch/fused_adamw.js";

export interface AdamWOptions {
  /** Decay rates of the running means of the gradient and of its square. Default 0.9 and 0.999. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the mean square. Default 1e-8. */
  readonly eps?: number;
}

/** Parameters that share a weight decay. */
export interface ParameterGroup {
  readonly parameters: readonly Parameter[];
  /** Share of a weight that is taken away at each step, times the learning rate. */
  readonly weightDecay: number;
}

interface GroupState {
  readonly group: ParameterGroup;
  readonly kernel: FusedAdamW;
  readonly means: readonly DeviceTensor[];
  readonly squares: readonly DeviceTensor[];
}

/**
 * m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
 * w = w - lr (wd w + m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)).
 *
 * The parameters are float32 and are changed in place.
 */
export class AdamW {
  readonly parameters: readonly Parameter[];
  readonly #groups: readonly GroupState[];
  #steps = 0;

  constructor(groups: readonly ParameterGroup[], options: AdamWOptions = {}) {
    const { betas = [0.9, 0.999], eps = 1e-8 } = options;
    this.parameters = groups.flatMap((group) => group.parameters);
    requireDistinct(this.parameters);
    this.#groups = groups
      .filter((group) => group.parameters.length > 0)
      .map((group) => {
        const moments = (): DeviceTensor[] =>
          group.parameters.map(({ value }) => DeviceTensor.full(value.shape, 0, "float32", value.device));
        const kernel = new FusedAdamW(group.parameters.length, {
          betas,
          eps,
          weightDecay: group.weightDecay,
        });
        return { group, kernel, means: moments(), squares: moments() };
      });
  }

  /** Steps taken so far. */
  get steps(): number {
    return this.#steps;
  }

  /**
   * Takes one step. The gradients are consumed.
   *
   * @param gradients one for each of {@link parameters}, float32, in their order
   * @param divisor what every gradient is divided by first, e.g. for clipping
   */
  step(gradients: readonly DeviceTensor[], learningRate: number, divisor = 1): void {
    if (gradients.length !== this.parameters.length) {
      throw new CraftError({
        subject: "gradients",
        value: gradients.length,
        reason: `the optimiser has ${this.parameters.length} parameters`,
      });
    }
    this.#steps++;
    let start = 0;
    for (const { group, kernel, means, squares } of this.#groups) {
      const end = start + group.parameters.length;
      kernel.step(
        {
          parameters: group.parameters.map((p) => p.value),
          gradients: gradients.slice(start, end),
          means,
          squares,
        },
        { learningRate, divisor, step: this.#steps },
      );
      for (const parameter of group.parameters) parameter.touch();
      start = end;
    }
    for (const gradient of gradients) gradient.dispose();
  }

  /** The running means, in the order of {@link parameters}. They stay the optimiser's and may be overwritten. */
  state(): { readonly steps: number; readonly means: DeviceTensor[]; readonly squares: DeviceTensor[] } {
    return {
      steps: this.#steps,
      means: this.#groups.flatMap((g) => g.means),
      squares: this.#groups.flatMap((g) => g.squares),
    };
  }

  /** Goes on from a saved place, once {@link state}'s tensors have their saved values. */
  restore(steps: number): void {
    this.#steps = steps;
  }

  dispose(): void {
    for (const { kernel, means, squares } of this.#groups) {
      kernel.dispose();
      for (const moment of [...means, ...squares]) moment.dispose();
    }
  }
}

function requireDistinct(parameters: readonly Parameter[]): void {
  if (new Set(parameters).size !== parameters.length) {
    throw new CraftError({
      subject: "parameters",
      reason: "one of them is in two groups, and would be stepped twice",
    });
  }
  for (const { dtype, shape } of parameters) {
    if (dtype !== "float32") {
      throw new CraftError({
        subject: "parameter",
        value: `${dtype}[${shape.join(", ")}]`,
        reason: "trainable parameters are kept in float32, or small steps would be rounded away",
        remedy: "Convert the model with toMasterWeights first; the trainers do.",
      });
    }
  }
}

const undecayed = /(^|\.)bias$|layernorm|rmsnorm|(^|\.)norm(\.|$)|_norm(\.|$)/i;

/**
 * Splits named parameters into those with weight decay and those without: biases and norms, as transformers does, and
 * single numbers, such as a learnt temperature.
 */
export function decayGroups(
  named: Iterable<readonly [string, Parameter]>,
  weightDecay: number,
): ParameterGroup[] {
  const decayed: Parameter[] = [];
  const plain: Parameter[] = [];
  for (const [name, parameter] of named) {
    const exempt = undecayed.test(name) || parameter.shape.length === 0;
    (exempt ? plain : decayed).push(parameter);
  }
  return [
    { parameters: decayed, weightDecay },
    { parameters: plain, weightDecay: 0 },
  ];
}
