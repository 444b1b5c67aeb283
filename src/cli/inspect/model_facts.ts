/** @file What a model is, by its config.json, and what its weights take on disk, by their headers. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../../errors.js";
import { openCheckpoint, type CausalLM } from "../../models/index.js";
import { Embedding } from "../../nn/index.js";
import { parameterCounts } from "../../quantization/index.js";
import type { Parameter } from "../../tensor/index.js";

/** Numbers of parameters, by where they are. */
export interface ParameterCounts {
  readonly total: number;
  readonly embedding: number;
  /** The blocks, and what stands between them and the head. */
  readonly layers: number;
  /** 0 where the head is the embedding table. */
  readonly head: number;
}

export interface StoredFacts {
  /** Sizes of the files. */
  readonly bytes: number;
  readonly files: number;
  /** Numbers of parameters by dtype. */
  readonly dtypes: Readonly<Record<string, number>>;
}

/** Counts the parameters of a model without adapters. */
export function countParameters(model: CausalLM): ParameterCounts {
  const counts = parameterCounts(model);
  const sum = (parameters: Iterable<Parameter>): number =>
    [...parameters].reduce((total, parameter) => total + (counts.get(parameter) ?? 0), 0);
  const tables = new Set<Parameter>();
  for (const [, module] of model.namedModules()) if (module instanceof Embedding) tables.add(module.weight);
  const head = model.headWeight();
  const total = sum(counts.keys());
  const embedding = sum(tables);
  const ownHead = tables.has(head) ? 0 : head.numel;
  return { total, embedding, layers: total - embedding - ownHead, head: ownHead };
}

/**
 * What the weights in a folder take; undefined where it has none, as after only the config was fetched from a hub.
 *
 * @param isGiven whether the user named the folder: then weights that are incomplete are an error
 */
export function storedFacts(folder: string, isGiven: boolean): StoredFacts | undefined {
  const has = (name: string): boolean => existsSync(join(folder, name));
  if (!has("model.safetensors") && !has("model.safetensors.index.json")) return undefined;
  try {
    using checkpoint = openCheckpoint(folder);
    const dtypes: Record<string, number> = {};
    const files = new Set<string>();
    for (const name of checkpoint.names) {
      const dtype = checkpoint.dtype(name);
      const count = checkpoint.shape(name).reduce((a, b) => a * b, 1);
      dtypes[dtype] = (dtypes[dtype] ?? 0) + count;
      files.add(checkpoint.file(name));
    }
    const bytes = [...files].reduce((total, file) => total + statSync(file).size, 0);
    return { bytes, files: files.size, dtypes };
  } catch (error) {
    if (isGiven || !(error instanceof CraftError)) throw error;
    return undefined;
  }
}
