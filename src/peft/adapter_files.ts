/** @file Folders of LoRA adapters, as Python's PEFT reads and writes them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { commitFiles, makeFolder, stageFile, stageFiles } from "../models/atomic_file.js";
import { openSafetensors, type ReadOptions } from "../models/safetensors/index.js";
import { stageSafetensors } from "../models/safetensors/write.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import {
  adapterConfigFile,
  adapterConfigText,
  readAdapterConfig,
  type AdapterConfig,
} from "./adapter_config.js";
import { readNames, requireWhole } from "./tensor_names.js";

export { newAdapterConfig, readAdapterConfig, type AdapterConfig } from "./adapter_config.js";

const weightsFile = "adapter_model.safetensors";

/** Tensors by PEFT's names, such as `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
export type AdapterTensors = ReadonlyMap<string, DeviceTensor>;

export interface Adapter {
  readonly config: AdapterConfig;
  readonly tensors: AdapterTensors;
}

/**
 * Reads an adapter folder. The caller owns the tensors.
 *
 * @throws CraftError if a file is missing or broken, if the config uses what is not supported (see
 * {@link readAdapterConfig}), or if the tensors are not those of an adapter with this config.
 */
export function readAdapter(folder: string, options: ReadOptions = {}): Adapter {
  const config = readAdapterConfig(folder);
  const path = join(folder, weightsFile);
  if (!existsSync(path)) throw noWeights(folder);
  const file = openSafetensors(path);
  const tensors = new Map<string, DeviceTensor>();
  try {
    if (file.tensors.size === 0) throw new CraftError({ subject: path, reason: "has no tensors" });
    checkTensors(path, file.tensors, config);
    for (const name of file.tensors.keys()) tensors.set(name, file.read(name, options));
    return { config, tensors };
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  } finally {
    file.close();
  }
}

/**
 * Writes an adapter folder. Both files are complete and on the disk before either gets its name; if that fails, what
 * the folder held before stays.
 *
 * @throws CraftError if the folder cannot be written to, the config is not valid, or a tensor does not fit it.
 */
export function writeAdapter(folder: string, { config, tensors }: Adapter): void {
  const text = adapterConfigText(config, join(folder, adapterConfigFile));
  checkTensors(folder, tensors, config);
  makeFolder(folder);
  commitFiles(
    stageFiles([
      () => stageSafetensors(join(folder, weightsFile), [...tensors], { metadata: { format: "pt" } }),
      () => stageFile(join(folder, adapterConfigFile), (file) => file.write(Buffer.from(text))),
    ]),
  );
}

function checkTensors(
  subject: string,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  config: AdapterConfig,
): void {
  const names = readNames(subject, tensors.keys(), config);
  requireWhole(
    subject,
    [...names].map(([name, read]) => [read, tensors.get(name)!.shape]),
    config,
  );
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
