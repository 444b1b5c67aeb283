/** @file The weights of a model folder, in one safetensors file or in several with an index. */
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { CraftError } from "../errors.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";
import { fileError } from "./atomic_file.js";
import { requireFolder } from "./config_file.js";
import { JsonFields, readJsonObject } from "./json_fields.js";
import { Converter } from "./safetensors/convert.js";
import { SafetensorsFile, type ReadOptions } from "./safetensors/read.js";

export const singleFile = "model.safetensors";
export const indexFile = "model.safetensors.index.json";

/** The open weights of a model folder. Tensors are read one by one; close it when all are read. */
export class Checkpoint {
  readonly folder: string;
  /** Names of all tensors. */
  readonly names: readonly string[];
  readonly #files: readonly SafetensorsFile[];
  readonly #fileOf = new Map<string, SafetensorsFile>();

  /** Takes ownership of the files. */
  constructor(folder: string, files: readonly SafetensorsFile[]) {
    this.folder = folder;
    this.#files = files;
    for (const file of files)
      for (const name of file.tensors.keys()) {
        const other = this.#fileOf.get(name);
        if (other !== undefined)
          throw new CraftError({
            subject: file.path,
            value: name,
            reason: `has a tensor that ${basename(other.path)} has too`,
            remedy: "Download or save the model again",
          });
        this.#fileOf.set(name, file);
      }
    this.names = [...this.#fileOf.keys()];
  }

  has(name: string): boolean {
    return this.#fileOf.has(name);
  }

  /** Path of the file that holds the tensor, for messages. */
  file(name: string): string {
    return this.#file(name).path;
  }

  shape(name: string): readonly number[] {
    return this.#file(name).entry(name).shape;
  }

  /** The dtype in the file. */
  dtype(name: string): DType {
    return this.#file(name).entry(name).dtype;
  }

  /** Reads a tensor; the caller owns it. See {@link SafetensorsFile.read}. */
  read(name: string, options?: ReadOptions): DeviceTensor {
    return this.#file(name).read(name, options);
  }

  /** Gives parts of a tensor. See {@link SafetensorsFile.elements}. */
  elements(name: string, dtype: DType): (begin: number, end: number) => Uint8Array {
    return this.#file(name).elements(name, dtype);
  }

  close(): void {
    for (const file of this.#files) file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #file(name: string): SafetensorsFile {
    const file = this.#fileOf.get(name);
    if (file === undefined)
      throw new CraftError({ subject: this.folder, value: name, reason: "has no tensor of this name" });
    return file;
  }
}

/**
 * Opens the weights of a model folder: `model.safetensors`, else the files that `model.safetensors.index.json` names.
 *
 * @throws CraftError if there are none, one is missing or broken, one lacks a tensor that the index says it has, or
 * two have the same tensor.
 */
export function openCheckpoint(folder: string): Checkpoint {
  requireFolder(folder);
  if (existsSync(join(folder, singleFile)))
    return openAll(folder, [singleFile], (files) => new Checkpoint(folder, files));
  const index = join(folder, indexFile);
  if (!existsSync(index)) throw noWeights(folder);
  const fileOf = readIndex(index);
  return openAll(folder, [...new Set(fileOf.values())].sort(), (files) => {
    const byName = new Map(files.map((file) => [basename(file.path), file]));
    for (const [tensor, file] of fileOf)
      if (byName.get(file)?.tensors.has(tensor) !== true)
        throw new CraftError({
          subject: join(folder, file),
          value: tensor,
          reason: `lacks this tensor, which ${indexFile} says it has`,
          remedy: "Download or save the model again",
        });
    return new Checkpoint(folder, files);
  });
}

function openAll(
  folder: string,
  names: readonly string[],
  use: (files: readonly SafetensorsFile[]) => Checkpoint,
): Checkpoint {
  const files: SafetensorsFile[] = [];
  const converter = new Converter();
  try {
    for (const name of names) files.push(new SafetensorsFile(join(folder, name), converter));
    return use(files);
  } catch (error) {
    for (const file of files) file.close();
    throw error;
  }
}

/** The file of each tensor. */
function readIndex(path: string): Map<string, string> {
  const map = new JsonFields(readJsonObject(path), path).object("weight_map");
  const names = map?.keys() ?? [];
  if (map === undefined || names.length === 0)
    throw new CraftError({
      subject: `${path}, weight_map`,
      reason: "is missing or empty",
      remedy: "Download or save the model again",
    });
  return new Map(
    names.map((name) => {
      const file = map.optionalString(name) ?? "";
      if (basename(file) !== file || !file.endsWith(".safetensors"))
        throw map.error(name, "must be the name of a safetensors file in the same folder");
      const path = join(map.file, "..", file);
      if (!existsSync(path))
        throw new CraftError({
          subject: path,
          reason: `does not exist, and ${indexFile} names it (for ${name})`,
          remedy: "Download the file",
        });
      return [name, file];
    }),
  );
}

function noWeights(folder: string): CraftError {
  let files: string[];
  try {
    files = readdirSync(folder);
  } catch (error) {
    throw fileError(folder, "read", error);
  }
  const other = files.find((file) => /\.(bin|pt|pth|ckpt|gguf|h5|msgpack|onnx)$/.test(file));
  const variant = files.find((file) => file.endsWith(".safetensors"));
  return new CraftError({
    subject: "model folder",
    value: folder,
    reason: `has neither ${singleFile} nor ${indexFile}${other === undefined ? "" : `; ${other} is in a format that is not read`}`,
    remedy:
      other !== undefined
        ? "Save the model in Python with model.save_pretrained(DIR), which writes safetensors"
        : variant !== undefined
          ? `It does have ${variant}; rename it if it holds the model's weights`
          : "Download the model's safetensors files",
  });
}
