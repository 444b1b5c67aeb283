/** @file Folders of LoRA adapters, as Python's PEFT reads and writes them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { commitFiles, makeFolder, stageFile, stageFiles } from "../models/atomic_file.js";
import { openSafetensors, type ReadOptions, type SafetensorsFile } from "../models/safetensors/index.js";
import { stageSafetensors, type NamedTensor } from "../models/safetensors/write.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import {
  adapterConfigFile,
  adapterConfigText,
  readAdapterConfig,
  type AdapterConfig,
} from "./adapter_config.js";

export { newAdapterConfig, readAdapterConfig, type AdapterConfig } from "./adapter_config.js";

const weightsFile = "adapter_model.safetensors";
const prefix = "base_model.model.";

/** The two factors of one module's update, `scale * loraB @ loraA`. */
export interface LoraFactors {
  /** [r, in features] */
  readonly loraA: DeviceTensor;
  /** [out features, r] */
  readonly loraB: DeviceTensor;
}

/** Factors by path of the module in the base model, such as `model.layers.0.self_attn.q_proj`. */
export type AdapterTensors = ReadonlyMap<string, LoraFactors>;

export interface Adapter {
  readonly config: AdapterConfig;
  readonly tensors: AdapterTensors;
}

/**
 * Reads an adapter folder. The caller owns the tensors.
 *
 * @throws CraftError if a file is missing or broken, if the config uses what is not supported (see
 * {@link readAdapterConfig}), or if the tensors are not the factors that it announces.
 */
export function readAdapter(folder: string, options: ReadOptions = {}): Adapter {
  const config = readAdapterConfig(folder);
  const path = join(folder, weightsFile);
  if (!existsSync(path)) throw noWeights(folder);
  const file = openSafetensors(path);
  try {
    const modules = modulesOf(file, config);
    return { config, tensors: readFactors(file, modules, options) };
  } finally {
    file.close();
  }
}

/**
 * Writes an adapter folder. Both files are complete and on the disk before either gets its name; if that fails, what
 * the folder held before stays.
 *
 * @throws CraftError if the folder cannot be written to, the config is not valid, or a tensor does not fit its rank.
 */
export function writeAdapter(folder: string, { config, tensors }: Adapter): void {
  const text = adapterConfigText(config, join(folder, adapterConfigFile));
  const named: NamedTensor[] = [];
  for (const [module, { loraA, loraB }] of tensors) {
    checkRank(`tensor of ${module}`, loraA.shape, loraB.shape, config.r);
    named.push([tensorName(module, "A"), loraA], [tensorName(module, "B"), loraB]);
  }
  makeFolder(folder);
  commitFiles(
    stageFiles([
      () => stageSafetensors(join(folder, weightsFile), named, { metadata: { format: "pt" } }),
      () => stageFile(join(folder, adapterConfigFile), (file) => file.write(Buffer.from(text))),
    ]),
  );
}

const tensorName = (module: string, factor: "A" | "B"): string => `${prefix}${module}.lora_${factor}.weight`;

/** The modules that a file has factors for, in the order of the file. */
function modulesOf(file: SafetensorsFile, { r }: AdapterConfig): string[] {
  const modules = new Set<string>();
  for (const name of file.tensors.keys()) {
    const module = name.startsWith(prefix)
      ? /^(.+)\.lora_[AB]\.weight$/.exec(name.slice(prefix.length))
      : null;
    if (module === null)
      throw new CraftError({
        subject: file.path,
        value: name,
        reason: "is not a factor of a LoRA adapter on linear layers, and nothing else is supported",
        remedy: `Supported are ${tensorName("MODULE", "A")} and ${tensorName("MODULE", "B")}`,
      });
    modules.add(module[1]!);
  }
  if (modules.size === 0) throw new CraftError({ subject: file.path, reason: "has no tensors" });
  for (const module of modules) {
    const [a, b] = (["A", "B"] as const).map((factor) => {
      const shape = file.tensors.get(tensorName(module, factor))?.shape;
      if (shape === undefined)
        throw new CraftError({
          subject: file.path,
          value: tensorName(module, factor),
          reason: "is missing, and the other factor of the module is there",
          remedy: "Download or save the adapter again",
        });
      return shape;
    });
    checkRank(`${file.path}, tensors of ${module}`, a!, b!, r);
  }
  return [...modules];
}

function checkRank(subject: string, a: readonly number[], b: readonly number[], r: number): void {
  if (a.length === 2 && b.length === 2 && a[0] === r && b[1] === r) return;
  throw new CraftError({
    subject,
    value: `lora_A [${a.join(", ")}], lora_B [${b.join(", ")}]`,
    reason: `do not have the shapes [r, in] and [out, r] with r = ${r}, as ${adapterConfigFile} says`,
    remedy: "Check that config and weights are of one adapter",
  });
}

function readFactors(
  file: SafetensorsFile,
  modules: readonly string[],
  options: ReadOptions,
): Map<string, LoraFactors> {
  const read: DeviceTensor[] = [];
  const next = (name: string): DeviceTensor => {
    const tensor = file.read(name, options);
    read.push(tensor);
    return tensor;
  };
  try {
    return new Map(
      modules.map((module) => [
        module,
        { loraA: next(tensorName(module, "A")), loraB: next(tensorName(module, "B")) },
      ]),
    );
  } catch (error) {
    for (const tensor of read) tensor.dispose();
    throw error;
  }
}

function noWeights(folder: string): CraftError {
  const pickled = existsSync(join(folder, "adapter_model.bin"));
  return new CraftError({
    subject: "adapter folder",
    value: folder,
    reason: `has no ${weightsFile}${pickled ? "; adapter_model.bin is in a format that is not read" : ""}`,
    remedy: pickled
      ? "Load and save the adapter in Python with save_pretrained(DIR), which writes safetensors"
      : "Download or save the adapter again",
  });
}
