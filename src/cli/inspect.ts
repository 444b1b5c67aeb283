/** @file `craft inspect`: what a model is, and what memory training it would need. */
import { existsSync } from "node:fs";
import { CraftError } from "../errors.js";
import { pretrainedFolder } from "../hub/index.js";
import {
  AutoModelForCausalLM,
  readConfig,
  resolveDType,
  type CausalLM,
  type ModelShape,
} from "../models/index.js";
import { defaultLoraConfig } from "../peft/lora_config.js";
import { hasDefaultTargets } from "../peft/targets.js";
import { attachWithoutValues } from "../peft/without_values.js";
import { fourBitLayers } from "../quantization/index.js";
import type { DType } from "../torch/dtype.js";
import { memory } from "../torch/environment.js";
import type { BatchShape } from "../trainers/memory.js";
import {
  generationFacts,
  methods,
  trainingFacts,
  type GenerationFacts,
  type TrainingFacts,
} from "./inspect/memory_facts.js";
import {
  countParameters,
  storedFacts,
  type ParameterCounts,
  type StoredFacts,
} from "./inspect/model_facts.js";
import { inspectionText } from "./inspect/text.js";
import { dtypeOption, integerOption, optionalInteger, optionalTexts, type GivenOptions } from "./options.js";

/** What was found out. Bytes, where not told otherwise. */
export interface Inspection {
  readonly model: string;
  readonly modelType: string;
  readonly shape: ModelShape;
  readonly parameters: ParameterCounts;
  readonly lora: { readonly r: number; readonly targets: string; readonly trainable: number };
  /** Undefined where the weights are not there. */
  readonly stored: StoredFacts | undefined;
  /** That products are computed in. */
  readonly dtype: DType;
  readonly batch: BatchShape;
  /** Memory that is free now. */
  readonly free: number;
  readonly training: readonly TrainingFacts[];
  readonly generation: GenerationFacts;
  readonly notes: readonly string[];
}

/** As the paper on QLoRA has it. */
const qloraQuantization = { loadIn4bit: true, bnb4bitQuantType: "nf4", bnb4bitUseDoubleQuant: true } as const;

/** As many tokens as SFT takes of a row by default. */
const defaultLength = 1024;
const defaultRows = 8;

/** Prints what {@link inspect} finds, with `--json` as {@link toReport} has it. */
export async function run(options: GivenOptions): Promise<number> {
  const found = await inspect(modelOf(options), options);
  process.stdout.write(
    options["json"] === true ? `${JSON.stringify(toReport(found))}\n` : inspectionText(found),
  );
  return 0;
}

function modelOf(options: GivenOptions): string {
  const [model] = Array.isArray(options["rest"]) ? (options["rest"] as readonly unknown[]) : [];
  if (typeof model === "string") return model;
  throw new CraftError({ subject: "MODEL", reason: "is missing" });
}

/**
 * Looks at a model by its config.json alone, and by the headers of its weights where those are there. Nothing is loaded,
 * and of a model on the hub only config.json is fetched.
 *
 * @throws CraftError for a model that is not supported, naming its type, and for options out of range.
 */
export async function inspect(pathOrId: string, options: GivenOptions): Promise<Inspection> {
  const dtype = resolveDType(dtypeOption(options));
  const folder = await pretrainedFolder(pathOrId, "config");
  const config = readConfig(folder);
  const make = ({ inFourBits = false } = {}): CausalLM =>
    AutoModelForCausalLM.withoutWeights(config, {
      dtype,
      ...(inFourBits ? { quantization: qloraQuantization } : {}),
    });
  const model = make();
  const [stored] = [...fourBitLayers(model)].map(([, , bits]) => bits);
  const { shape } = model;
  const batch = {
    rows: integerOption(options, "batch", defaultRows, 1),
    length: integerOption(options, "length", Math.min(defaultLength, shape.maxLength), 2),
  };
  const given = targetsOf(options);
  const known = hasDefaultTargets(model.modelType);
  const targetModules = given ?? (known ? undefined : "all-linear");
  const r = optionalInteger(options, "loraR", 1) ?? defaultLoraConfig.r;
  const adapted = make();
  const adapter = attachWithoutValues(adapted, { r, targetModules });
  const trainable = [...adapter.parameters.values()].reduce((total, { numel }) => total + numel, 0);
  const lora = { r, targets: describeTargets(targetModules ?? adapter.targetModules), trainable };
  return {
    model: pathOrId,
    modelType: model.modelType,
    shape,
    parameters: countParameters(model),
    lora,
    stored: storedFacts(folder, existsSync(pathOrId)),
    dtype,
    batch,
    free: memory().free_bytes,
    training: trainingFacts(make, batch, { r, targetModules }, stored === undefined ? methods : ["qlora"]),
    generation: generationFacts(model, batch),
    notes: [
      ...(stored === undefined
        ? []
        : [
            `stored in 4 bits (${stored.type}): only adapters can be trained, and dtypes on disk count bytes and scales`,
          ]),
      ...(batch.length > shape.maxLength
        ? [`rows of ${batch.length} tokens are longer than the model was trained for`]
        : []),
      ...(known || given !== undefined
        ? []
        : [`PEFT has no default layers for models of type ${model.modelType}, so all linear ones are taken`]),
    ],
  };
}

/** Several names, or the one word that stands for many layers. */
function targetsOf(options: GivenOptions): readonly string[] | string | undefined {
  const names = optionalTexts(options, "loraTargetModules");
  return names?.length === 1 && names[0]!.toLowerCase() === "all-linear" ? names[0] : names;
}

const describeTargets = (targets: readonly string[] | string): string =>
  typeof targets === "string" ? targets : targets.join(", ");

/** The object that `craft inspect --json` prints. */
export function toReport(found: Inspection): object {
  const { shape, stored, batch, free } = found;
  const fits = (total: number): boolean => total <= free;
  return {
    model: found.model,
    model_type: found.modelType,
    layers: shape.layers,
    hidden_size: shape.hiddenSize,
    key_value_heads: shape.kvHeads,
    head_size: shape.headSize,
    vocab_size: shape.vocabSize,
    context_length: shape.maxLength,
    parameters: found.parameters,
    lora: { r: found.lora.r, target_modules: found.lora.targets, trainable: found.lora.trainable },
    stored: stored ?? null,
    dtype: found.dtype,
    batch: batch.rows,
    length: batch.length,
    free_bytes: free,
    estimated_training: found.training.map((one) => ({
      method: one.method,
      gradient_checkpointing: one.gradientCheckpointing,
      weights_bytes: one.weights,
      derived_bytes: one.derived,
      optimizer_bytes: one.optimizer,
      activations_bytes: one.activations,
      total_bytes: one.total,
      fits: fits(one.total),
    })),
    estimated_generation: {
      weights_bytes: found.generation.weights,
      packed_bytes: found.generation.packed,
      cache_bytes: found.generation.cache,
      activations_bytes: found.generation.activations,
      total_bytes: found.generation.total,
      fits: fits(found.generation.total),
    },
    notes: found.notes,
  };
}
