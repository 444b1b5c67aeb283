/** @file Weights written into a model folder as transformers writes them. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import type { DType } from "../torch/dtype.js";
import { commitFiles, fileError, makeFolder, stageFile, stageFiles, syncFolder } from "./atomic_file.js";
import { indexFile, singleFile } from "./checkpoint.js";
import { stringifyPythonJson } from "./python_json.js";
import { byteLength } from "./safetensors/format.js";
import { savedDType, stageSafetensors, type NamedTensor } from "./safetensors/write.js";

export interface CheckpointOptions {
  /** Most bytes of tensors in one file, unless a single tensor is larger; 5e9 by default. */
  readonly maxShardBytes?: number;
  /** Tensors of floats are converted to this as they are written. */
  readonly dtype?: DType;
}

/**
 * Writes the weights of a model into a folder, in one file or in several with an index, in the order given. All
 * files are complete and on the disk before the first gets its name; weights that the folder had before are replaced
 * then, and stay if anything fails before.
 *
 * @throws CraftError if a name occurs twice, or the folder cannot be written to.
 */
export function writeCheckpoint(
  folder: string,
  tensors: Iterable<NamedTensor>,
  { maxShardBytes = 5e9, dtype }: CheckpointOptions = {},
): void {
  if (!(maxShardBytes > 0))
    throw new CraftError({
      subject: "maxShardBytes",
      value: maxShardBytes,
      reason: "must be greater than 0",
    });
  const all = [...tensors];
  const size = ([, tensor]: NamedTensor): number => byteLength(savedDType(tensor, dtype), tensor.shape);
  const shards = split(all, size, maxShardBytes);
  const names = shards.map((_, i) => shardName(i, shards.length));
  const options = { metadata: { format: "pt" }, ...(dtype === undefined ? {} : { dtype }) };
  checkUnique(folder, all);
  makeFolder(folder);
  const staged = stageFiles([
    ...shards.map((shard, i) => () => stageSafetensors(join(folder, names[i]!), shard, options)),
    ...(shards.length === 1 ? [] : [() => stageIndex(folder, shards, names, size)]),
  ]);
  // With one file, that file decides which weights are read; with several, the index does once there is no such file.
  // Shards of the same names would be mixed with new ones between two renames, so their index goes first.
  const old = weightFiles(folder);
  if (shards.length > 1 && names.some((name) => old.includes(name))) remove(folder, [indexFile]);
  commitFiles(staged);
  const kept = new Set([...names, ...(shards.length === 1 ? [] : [indexFile])]);
  remove(
    folder,
    old.filter((name) => !kept.has(name)),
  );
}

/** Fills shards in order; a tensor larger than a shard gets one of its own, which the open shard waits out. */
function split(
  tensors: readonly NamedTensor[],
  size: (tensor: NamedTensor) => number,
  maxBytes: number,
): NamedTensor[][] {
  const shards: NamedTensor[][] = [];
  let open: NamedTensor[] = [];
  let openBytes = 0;
  for (const tensor of tensors) {
    const bytes = size(tensor);
    if (bytes > maxBytes) {
      shards.push([tensor]);
      continue;
    }
    if (openBytes + bytes > maxBytes) {
      shards.push(open);
      open = [];
      openBytes = 0;
    }
    open.push(tensor);
    openBytes += bytes;
  }
  if (open.length > 0 || shards.length === 0) shards.push(open);
  return shards;
}

function shardName(index: number, count: number): string {
  const digits = (value: number): string => String(value).padStart(5, "0");
  return count === 1 ? singleFile : `model-${digits(index + 1)}-of-${digits(count)}.safetensors`;
}

function stageIndex(
  folder: string,
  shards: readonly (readonly NamedTensor[])[],
  names: readonly string[],
  size: (tensor: NamedTensor) => number,
): ReturnType<typeof stageFile> {
  const all = shards.flat();
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  const index = {
    metadata: {
      total_parameters: sum(all.map(([, tensor]) => tensor.shape.reduce((a, b) => a * b, 1))),
      total_size: sum(all.map(size)),
    },
    weight_map: Object.fromEntries(
      shards.flatMap((shard, i) => shard.map(([name]): [string, string] => [name, names[i]!])),
    ),
  };
  const bytes = Buffer.from(`${stringifyPythonJson(index)}\n`);
  return stageFile(join(folder, indexFile), (file) => file.write(bytes));
}

/** Files of a folder that hold weights under the names that this library and transformers give them. */
function weightFiles(folder: string): string[] {
  const shard = /^model-\d{5}-of-\d{5}\.safetensors$/;
  return attempt(folder, () => readdirSync(folder)).filter(
    (name) => name === singleFile || name === indexFile || shard.test(name),
  );
}

function remove(folder: string, names: readonly string[]): void {
  // The index first: a folder without one is refused, a folder with one that names missing files is a riddle.
  for (const name of [...names].sort((a) => (a === indexFile ? -1 : 1)))
    attempt(join(folder, name), () => rmSync(join(folder, name), { force: true }));
  if (names.length > 0) syncFolder(folder);
}

function attempt<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw fileError(path, "write", error);
  }
}

function checkUnique(folder: string, tensors: readonly NamedTensor[]): void {
  const seen = new Set<string>();
  for (const [name] of tensors) {
    if (seen.has(name))
      throw new CraftError({ subject: folder, value: name, reason: "two tensors have this name" });
    seen.add(name);
  }
}
