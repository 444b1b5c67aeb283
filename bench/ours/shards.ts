/** @file A checkpoint that is larger than memory should be, written shard by shard in bfloat16. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  AutoModelForCausalLM,
  DeviceTensor,
  loadTorch,
  normalInit,
  Random,
  writeCheckpoint,
} from "../../src/index.js";

const shardBytes = 2e9;
const seed = 0;
const bytesPerWeight = 2;

/**
 * Norms are 1. All other weights are normal with the config's standard deviation: slices of one list of 2^24 such numbers,
 * from a random place on for each tensor, since drawing seven billion would take many minutes.
 */
export async function writeShards(
  folder: string,
  config: { readonly model_type: string; readonly initializer_range: number },
): Promise<void> {
  await loadTorch();
  mkdirSync(folder, { recursive: true });
  const json = { ...config };
  const model = AutoModelForCausalLM.withoutWeights(
    { file: "config.json", modelType: config.model_type, json },
    { dtype: "bfloat16" },
  );
  const shards: (readonly [name: string, shape: readonly number[]])[][] = [[]];
  let filled = 0;
  for (const [path, { shape, numel }] of model.namedParameters()) {
    if (filled + bytesPerWeight * numel > shardBytes) {
      shards.push([]);
      filled = 0;
    }
    filled += bytesPerWeight * numel;
    shards.at(-1)!.push([model.savedName(path), shape]);
  }
  using pool = normalInit(new Random(seed, "pool"), [2 ** 24], config.initializer_range, "bfloat16");
  const files = shards.map(
    (_, i) =>
      `model-${String(i + 1).padStart(5, "0")}-of-${String(shards.length).padStart(5, "0")}.safetensors`,
  );
  for (const [i, shard] of shards.entries()) {
    const tensors = shard.map(([name, shape]) => [name, weightOf(name, shape, pool.bytes())] as const);
    const own = join(folder, "shard");
    writeCheckpoint(own, tensors);
    renameSync(join(own, "model.safetensors"), join(folder, files[i]!));
    rmSync(own, { recursive: true });
    for (const [, tensor] of tensors) tensor.dispose();
  }
  const map = shards.flatMap((shard, i) => shard.map(([name]): [string, string] => [name, files[i]!]));
  const index = { metadata: {}, weight_map: Object.fromEntries(map) };
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  writeFileSync(join(folder, "config.json"), JSON.stringify(json, null, 2));
}

function weightOf(name: string, shape: readonly number[], pool: Uint8Array): DeviceTensor {
  if (name.endsWith("norm.weight")) return DeviceTensor.full(shape, 1, "bfloat16");
  const tensor = DeviceTensor.empty(shape, "bfloat16");
  const bytes = tensor.bytes();
  let from = bytesPerWeight * new Random(seed, name).integer(pool.length / bytesPerWeight);
  for (let at = 0; at < bytes.length;) {
    const part = pool.subarray(from, from + bytes.length - at);
    bytes.set(part, at);
    at += part.length;
    from = 0;
  }
  return tensor;
}
