/** @file Decoders with a head that scores whole texts, as transformers' ...ForSequenceClassification. */
import { CraftError } from "../errors.js";
import { pretrainedFolder, type HubOptions } from "../hub/index.js";
import { Linear } from "../nn/linear.js";
import { normalInit } from "../nn/init.js";
import { Module } from "../nn/module.js";
import { Random } from "../random.js";
import { compile, HostTensor, Parameter, type Compiled, type Tensor } from "../tensor/index.js";
import { cpu } from "../torch/device.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { loadTorch, requireDevice } from "../torch/torch.js";
import { architectureOf } from "./architectures.js";
import { configWithDType, resolveDType, type LoadOptions } from "./auto_model.js";
import type { CausalLM, ForwardOptions } from "./causal_lm.js";
import { openCheckpoint } from "./checkpoint.js";
import { readConfig, writeConfig, type ModelConfig } from "./config.js";
import { JsonFields } from "./json_fields.js";
import { ParameterSource } from "./parameter_source.js";
import { newQuantization, requireSkipped } from "./quantization_config.js";
import { plainJson, type JsonObject, type JsonValue } from "./python_json.js";
import { savedDType, savedTensors, withQuantization } from "./saved_tensors.js";
import { StoredWeights } from "./stored_weights.js";
import { writeCheckpoint } from "./write_checkpoint.js";

/** transformers' classes by `model_type`. */
const classNames: Readonly<Record<string, string>> = {
  gemma2: "Gemma2ForSequenceClassification",
  gemma3_text: "Gemma3TextForSequenceClassification",
  gpt2: "GPT2ForSequenceClassification",
  gpt_neox: "GPTNeoXForSequenceClassification",
  llama: "LlamaForSequenceClassification",
  mistral: "MistralForSequenceClassification",
  olmo2: "Olmo2ForSequenceClassification",
  phi3: "Phi3ForSequenceClassification",
  qwen2: "Qwen2ForSequenceClassification",
  qwen3: "Qwen3ForSequenceClassification",
  smollm3: "SmolLM3ForSequenceClassification",
};

export interface ClassifierOptions extends LoadOptions {
  /** Scores for each text; by default as many as the checkpoint has, or 1. */
  readonly numLabels?: number;
  /** Of the initial values of a head that the checkpoint does not have. Default 0. */
  readonly seed?: number;
}

/**
 * A decoder without a language model head and a linear layer, without bias, that reads the last token's hidden state. With one
 * label it is a reward model.
 */
export class SequenceClassifier extends Module {
  /** Gives the hidden states. Its head is never used, and not saved. */
  readonly trunk: CausalLM;
  /** [labels, hidden], float32. */
  readonly score: Linear;
  /** Whether the head came with the checkpoint; if not it is random. */
  readonly scoreWasStored: boolean;
  /** What padding is in the files of this model: transformers reads the score at the last token that is not this one. */
  padTokenId: number | undefined;
  readonly #tied: JsonValue | undefined;
  readonly #labels: JsonObject;
  #program: Compiled<[Tensor, Tensor], Tensor> | undefined;

  /** @param original config.json as it was, whose head is not built */
  constructor(trunk: CausalLM, score: Linear, stored: boolean, { json, file }: ModelConfig) {
    super();
    this.trunk = trunk;
    this.score = score;
    this.scoreWasStored = stored;
    this.padTokenId = new JsonFields(json, file).optionalInteger("pad_token_id");
    this.#tied = json["tie_word_embeddings"];
    const same = score.outFeatures === labelCount(json);
    this.#labels = Object.fromEntries(
      Object.entries(json).filter(([key]) => same && (key === "id2label" || key === "label2id")),
    );
  }

  get numLabels(): number {
    return this.score.outFeatures;
  }

  /**
   * Scores [n, labels] in float32. Traced.
   *
   * @param inputIds int64 [batch, length]
   * @param at int64 [n]: the places in the flattened batch whose hidden states are read, one for each text: its last token
   */
  scores(inputIds: Tensor, at: Tensor, options: Omit<ForwardOptions, "at"> = {}): Tensor {
    const hidden = this.trunk.hiddenStates(inputIds, { ...options, at });
    const wide = hidden.dtype === "float64" ? "float64" : "float32";
    return this.score.forward(hidden.to(wide));
  }

  /**
   * The scores of texts, as token ids: for each a list of one number a label.
   *
   * @param options.batchSize texts that are computed at the same time; 8 by default
   * @throws CraftError for a text without tokens, and for a token that the model does not have.
   */
  async predict(
    rows: readonly ArrayLike<number>[],
    { batchSize = 8 }: { readonly batchSize?: number } = {},
  ): Promise<number[][]> {
    const { vocabSize } = this.trunk.shape;
    rows.forEach((row, i) => {
      const strange = Array.from(row).find((id) => !(id >= 0 && id < vocabSize));
      if (row.length > 0 && strange === undefined) return;
      throw new CraftError({
        subject: `text ${i}`,
        ...(strange === undefined ? {} : { value: strange }),
        reason:
          strange === undefined
            ? "has no token"
            : `the model's vocabulary has the tokens 0 to ${vocabSize - 1}`,
      });
    });
    this.#program ??= compile((ids: Tensor, at: Tensor) => this.scores(ids, at), { cacheSize: 64 });
    const found: number[][] = [];
    for (let from = 0; from < rows.length; from += batchSize) {
      const batch = rows.slice(from, from + batchSize);
      const length = 16 * Math.ceil(Math.max(...batch.map((row) => row.length)) / 16);
      const ids = new Int32Array(batch.length * length);
      batch.forEach((row, i) => ids.set(row, i * length));
      const last = Int32Array.from(batch, (row, i) => i * length + row.length - 1);
      using scores = await this.#program(
        new HostTensor(ids, [batch.length, length], "int64"),
        new HostTensor(last, [batch.length], "int64"),
      );
      const flat = scores.toNumbers();
      batch.forEach((_, i) => found.push(flat.slice(i * this.numLabels, (i + 1) * this.numLabels)));
    }
    return found;
  }

  /** config.json of this model. */
  get configJson(): JsonObject {
    const { tie_word_embeddings: _, ...json } = this.trunk.configJson;
    const type = json["model_type"] === "gemma3_text" ? "gemma3_text" : this.trunk.modelType;
    const ids = Array.from({ length: this.numLabels }, (_, i) => i);
    return {
      ...json,
      ...(this.#tied === undefined ? {} : { tie_word_embeddings: this.#tied }),
      architectures: [classNames[type]!],
      id2label: Object.fromEntries(ids.map((i) => [String(i), `LABEL_${i}`])),
      label2id: Object.fromEntries(ids.map((i) => [`LABEL_${i}`, i])),
      ...this.#labels,
      ...(this.padTokenId === undefined ? {} : { pad_token_id: this.padTokenId }),
    };
  }

  /** Writes config.json and the weights into a folder that transformers' AutoModelForSequenceClassification loads too. */
  savePretrained(folder: string, options: { readonly maxShardBytes?: number } = {}): void {
    const { trunk } = this;
    const made: DeviceTensor[] = [];
    try {
      const tensors = [...savedTensors(trunk, made), ["score.weight", this.score.weight.value] as const];
      writeCheckpoint(folder, tensors, options);
    } finally {
      for (const tensor of made) tensor.dispose();
    }
    const json = withQuantization(this.configJson, trunk, "score");
    writeConfig(folder, configWithDType(json, savedDType(trunk)));
  }

  override dispose(): void {
    this.#program?.dispose();
    this.trunk.dispose();
    this.score.dispose();
  }
}

/** How many labels a config.json speaks of. */
function labelCount(json: JsonObject): number | undefined {
  const { id2label, num_labels: count } = plainJson(json) as Readonly<Record<string, unknown>>;
  if (typeof id2label === "object" && id2label !== null) return Object.keys(id2label).length;
  return typeof count === "number" ? count : undefined;
}

/** Loads models that score texts: checkpoints with such a head, and those of language models, which get a new one. */
export const AutoModelForSequenceClassification = {
  /**
   * @param pathOrId a folder as transformers saves it, or the id of a model on the hub
   * @throws CraftError as AutoModelForCausalLM does, and for a head of another size than `numLabels`.
   */
  async fromPretrained(
    pathOrId: string,
    options: ClassifierOptions & HubOptions = {},
  ): Promise<SequenceClassifier> {
    const config = readConfig(await pretrainedFolder(pathOrId, "config", options));
    const withoutHead = { ...config, json: { ...config.json, tie_word_embeddings: true } };
    const { build, names } = architectureOf(withoutHead);
    const quantization = newQuantization(pathOrId, config, options.quantization);
    const folder = await pretrainedFolder(pathOrId, "model", options);
    const device = options.device ?? cpu;
    const dtype = resolveDType(options.dtype, device);
    await loadTorch();
    requireDevice(device);
    const checkpoint = openCheckpoint(folder);
    const weights = new StoredWeights(checkpoint, names);
    const source = ParameterSource.fromWeights(weights, folder, { dtype, device, quantization });
    let trunk: CausalLM | undefined;
    try {
      trunk = build(withoutHead, source);
      requireSkipped(quantization, [...[...trunk.namedModules()].map(([path]) => path), "score"]);
      const name = "score.weight";
      const stored = weights.has(name) ? weights.shape(name)[0]! : undefined;
      const labels = options.numLabels ?? stored ?? 1;
      if (stored !== undefined && labels !== stored)
        throw new CraftError({
          subject: `${folder}, tensor ${name}`,
          value: `${stored} labels`,
          reason: `is not a head of ${labels}, as numLabels asks for`,
          remedy: "Leave numLabels out.",
        });
      const { hiddenSize } = trunk.shape;
      const value =
        stored === undefined
          ? newHead(config, [labels, hiddenSize], options)
          : weights.read(name, { dtype: "float32", device });
      const score = new Linear(new Parameter(value));
      try {
        trunk.leftOut = weights.requireAllUsed(folder, true);
      } catch (error) {
        score.dispose();
        throw error;
      }
      trunk.nameOrPath = pathOrId;
      return new SequenceClassifier(trunk, score, stored !== undefined, config);
    } catch (error) {
      source.discard();
      throw error;
    } finally {
      checkpoint.close();
    }
  },
};

function newHead(
  { json, file }: ModelConfig,
  shape: readonly [number, number],
  { seed = 0, device = cpu }: ClassifierOptions,
): DeviceTensor {
  const std = new JsonFields(json, file).number("initializer_range", 0.02, { min: 0 });
  return normalInit(new Random(seed, "score.weight"), shape, std, "float32", device);
}
