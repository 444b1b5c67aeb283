/** @file Model folders to models and back. */
import { CraftError } from "../errors.js";
import { pretrainedFolder, type HubOptions } from "../hub/index.js";
import { cpu, type Device } from "../torch/device.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { isFloating, type DType } from "../torch/dtype.js";
import { autoDtype, readProcessor } from "../torch/environment.js";
import { loadTorch, requireDevice } from "../torch/torch.js";
import { architectureOf } from "./architectures.js";
import type { CausalLM } from "./causal_lm.js";
import { openCheckpoint } from "./checkpoint.js";
import {
  readConfig,
  readGenerationConfig,
  writeConfig,
  writeGenerationConfig,
  type ModelConfig,
} from "./config.js";
import { ParameterSource } from "./parameter_source.js";
import { JsonFields } from "./json_fields.js";
import {
  newQuantization,
  quantizationOf,
  requireSkipped,
  storedQuantization,
  type QuantizationOptions,
} from "./quantization_config.js";
import type { JsonObject } from "./python_json.js";
import { savedDType, savedTensors, withQuantization } from "./saved_tensors.js";
import { StoredWeights } from "./stored_weights.js";
import { writeCheckpoint } from "./write_checkpoint.js";

export interface LoadOptions {
  /**
   * The dtype that the model computes in and keeps its weights in. `auto` (default) is bfloat16 where the processor
   * or GPU is fast with it, else float32.
   */
  readonly dtype?: DType | "auto";
  readonly device?: Device;
  /** Puts linear layers into 4 bits while they are read, one after another. The head and embeddings stay as they are. */
  readonly quantization?: QuantizationOptions | undefined;
}

/** The dtype that `auto` stands for on this machine. */
export function resolveDType(dtype: DType | "auto" = "auto", device: Device = cpu): DType {
  if (dtype === "auto") return device.type === "cpu" ? autoDtype(readProcessor().features).dtype : "bfloat16";
  if (!isFloating(dtype))
    throw new CraftError({
      subject: "dtype",
      value: dtype,
      reason: "is not a float",
      remedy: "Use float32, bfloat16, float16, float64 or auto.",
    });
  return dtype;
}

/** Loads causal language models by the `model_type` of their config.json. */
export const AutoModelForCausalLM = {
  /**
   * Loads a model folder as transformers saves it: config.json and safetensors weights in one file or sharded.
   * Tensors are read one by one, so that little more than the model itself is in memory.
   *
   * @param pathOrId - a folder, or the id of a model on the hub (`org/name`), of which only these files are fetched.
   * @throws CraftError for an unsupported architecture or option, before any weights are fetched; for missing or broken
   * files; and for what the hub refuses.
   */
  async fromPretrained(pathOrId: string, options: LoadOptions & HubOptions = {}): Promise<CausalLM> {
    const config = readConfig(await pretrainedFolder(pathOrId, "config", options));
    const { build, names } = architectureOf(config);
    const quantization = newQuantization(pathOrId, config, options.quantization);
    const folder = await pretrainedFolder(pathOrId, "model", options);
    const device = options.device ?? cpu;
    const dtype = resolveDType(options.dtype, device);
    await loadTorch();
    requireDevice(device);
    const checkpoint = openCheckpoint(folder);
    const weights = new StoredWeights(checkpoint, names);
    const source = ParameterSource.fromWeights(weights, folder, { dtype, device, quantization });
    try {
      const model = build(config, source);
      requireSkipped(quantization, [...[...model.namedModules()].map(([path]) => path), "lm_head"]);
      model.leftOut = weights.requireAllUsed(folder, model.headIsTied);
      model.nameOrPath = pathOrId;
      model.generationConfig = readGenerationConfig(folder);
      return model;
    } catch (error) {
      source.discard();
      throw error;
    } finally {
      checkpoint.close();
    }
  },

  /**
   * A model of which only the names, shapes and dtypes of its parameters are there: to be looked at, or to plan what its
   * programs need. It takes no memory and no libtorch. Layers that the checkpoint has in 4 bits are so here.
   *
   * @throws CraftError for an unsupported architecture or option.
   */
  withoutWeights(config: ModelConfig, options: Pick<LoadOptions, "dtype" | "quantization"> = {}): CausalLM {
    const { build } = architectureOf(config);
    const stored = storedQuantization(new JsonFields(config.json, config.file));
    const quantization = stored ?? quantizationOf(options.quantization);
    return build(config, ParameterSource.shapes(resolveDType(options.dtype), quantization));
  },

  /** A model with random weights, normal with the config's `initializer_range`. */
  async fromConfig(
    json: JsonObject,
    options: LoadOptions & { readonly seed?: number } = {},
  ): Promise<CausalLM> {
    const config: ModelConfig = {
      file: "config",
      modelType: typeof json["model_type"] === "string" ? json["model_type"] : "",
      json,
    };
    const { build } = architectureOf(config);
    const quantization = quantizationOf(options.quantization);
    const device = options.device ?? cpu;
    const dtype = resolveDType(options.dtype, device);
    await loadTorch();
    const std = new JsonFields(json, config.file).number("initializer_range", 0.02, { min: 0 });
    return build(config, ParameterSource.random(options.seed ?? 0, std, { dtype, device, quantization }));
  },
};

/**
 * Writes config.json, generation_config.json and the weights into a folder that transformers, too, can load. Adapters
 * are not part of the model and are left out.
 */
export function savePretrained(
  model: CausalLM,
  folder: string,
  options: { readonly maxShardBytes?: number } = {},
): void {
  const made: DeviceTensor[] = [];
  try {
    writeCheckpoint(folder, savedTensors(model, made), options);
  } finally {
    for (const tensor of made) tensor.dispose();
  }
  const json = withQuantization(model.configJson, model, "lm_head");
  const untied = model.untiedHead === undefined ? {} : { tie_word_embeddings: false };
  writeConfig(folder, configWithDType({ ...json, ...untied }, savedDType(model)));
  if (model.generationConfig !== undefined) writeGenerationConfig(folder, model.generationConfig.json);
}

/** transformers 5 reads `dtype` and older versions `torch_dtype`; whichever the file has is kept right. */
export function configWithDType(json: JsonObject, dtype: DType): JsonObject {
  const present = ["dtype", "torch_dtype"].filter((key) => key in json);
  return {
    ...json,
    ...Object.fromEntries((present.length > 0 ? present : ["dtype"]).map((key) => [key, dtype])),
  };
}
