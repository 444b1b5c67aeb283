/** @file Initial values of adapters, as PEFT has them. */
import { CraftError } from "../errors.js";
import { kaimingUniform, normalInit, type Embedding, type Linear } from "../nn/index.js";
import { Random } from "../random.js";
import { Linear4bit } from "../quantization/index.js";
import { Parameter } from "../tensor/index.js";
import { cpu, type Device } from "../torch/device.js";
import { qr } from "../torch/linalg.js";
import { floatWeight } from "./base_weight.js";
import { iteratedFactors, orthonormalFactors, principalFactors, type Factors } from "./decompositions.js";
import { takesFromWeight, type LoraConfig } from "./lora_config.js";
import type { EmbeddingFactors } from "./lora_embedding.js";
import type { LoraFactors } from "./lora_linear.js";
import { initialMagnitudes } from "./magnitude.js";
import { asMatrix, product, tensorOf, transposed, type Matrix } from "./matrix.js";
import { rankOf } from "./targets.js";

/** The tensors of a new adapter of a linear layer. */
export function initialFactors(path: string, layer: Linear, config: LoraConfig, seed: number): LoraFactors {
  const { device } = layer.weight.value;
  const start = takesFromWeight(config) ? startOf(path, layer, config, seed) : undefined;
  const values = start ?? independent(path, layer, config, seed);
  const magnitude = (): Parameter => {
    if (start !== undefined || isZero(config)) return initialMagnitudes(layer, "rows");
    const { scale } = rankOf(path, config);
    return initialMagnitudes(layer, "rows", { matrix: product(values.b, values.a), scale });
  };
  return {
    a: upload(values.a, device),
    b: upload(values.b, device),
    magnitude: config.useDora ? magnitude() : undefined,
    start: start && { a: upload(start.a, device, false), b: upload(start.b, device, false) },
  };
}

/** The tensors of a new adapter of a table: A is zero and B normal, unless `initLoraWeights` is false. */
export function initialEmbeddingFactors(
  path: string,
  table: Embedding,
  config: LoraConfig,
  seed: number,
): EmbeddingFactors {
  const { r, scale } = rankOf(path, config);
  const [vocabulary, size] = table.weight.shape as readonly [number, number];
  const { device } = table.weight.value;
  const random = config.initLoraWeights === false;
  const a = normal(r, vocabulary, random ? 1 : 0, new Random(seed, "lora_embedding_A", path));
  const b = normal(size, r, 1, new Random(seed, "lora_embedding_B", path));
  const update = random ? { matrix: transposed(product(b, a)), scale } : undefined;
  const magnitude = config.useDora ? initialMagnitudes(table, "columns", update) : undefined;
  return { a: upload(a, device), b: upload(b, device), magnitude };
}

/** What the config takes out of a layer's weight: A0 [r, in] and B0 [out, r], frozen. */
export function startFactors(
  path: string,
  layer: Linear,
  config: LoraConfig,
  seed: number,
): LoraFactors["start"] {
  if (!takesFromWeight(config)) return undefined;
  const { device } = layer.weight.value;
  const { a, b } = startOf(path, layer, config, seed);
  return { a: upload(a, device, false), b: upload(b, device, false) };
}

/** Whether the update is zero at first. */
const isZero = ({ initLoraWeights }: LoraConfig): boolean =>
  initLoraWeights === true || initLoraWeights === "gaussian";

const upload = (matrix: Matrix, device: Device, trainable = true): Parameter =>
  new Parameter(tensorOf(matrix, device), { trainable });

function normal(rows: number, columns: number, size: number, random: Random): Matrix {
  const data = new Float32Array(rows * columns);
  if (size !== 0) for (let i = 0; i < data.length; i++) data[i] = random.normal() * size;
  return { rows, columns, data };
}

/** Values that do not depend on the weight. */
function independent(path: string, layer: Linear, config: LoraConfig, seed: number): Factors {
  const { r } = rankOf(path, config);
  const { inFeatures, outFeatures } = layer;
  const a = new Random(seed, "lora_A", path);
  const b = new Random(seed, "lora_B", path);
  const zero: Matrix = { rows: outFeatures, columns: r, data: new Float32Array(outFeatures * r) };
  switch (config.initLoraWeights) {
    case false:
      return { a: uniform(a, r, inFeatures), b: uniform(b, outFeatures, r) };
    case "gaussian":
      return { a: normal(r, inFeatures, 1 / r, a), b: zero };
    case "orthogonal":
      return orthogonal(path, layer, r, { a, b });
    case true:
    default:
      return { a: uniform(a, r, inFeatures), b: zero };
  }
}

function uniform(random: Random, rows: number, columns: number): Matrix {
  using tensor = kaimingUniform(random, [rows, columns]);
  return { rows, columns, data: asMatrix(tensor).data.slice() };
}

/** Each factor has every second row of one orthogonal matrix [r, r], times normal numbers of a tenth in size. */
function orthogonal(
  path: string,
  { inFeatures, outFeatures }: Linear,
  r: number,
  random: { readonly a: Random; readonly b: Random },
): Factors {
  if (r % 2 !== 0)
    throw new CraftError({
      subject: "init_lora_weights",
      value: "orthogonal",
      reason: `needs even ranks, and that of ${path} is ${r}`,
      remedy: "Change lora_r or rank_pattern.",
    });
  using square = normalInit(random.a, [r, r], 1, "float32", cpu);
  const parts = qr(square);
  using q = parts.q;
  parts.r.dispose();
  const { data } = asMatrix(q);
  const half = (first: number): Matrix => ({
    rows: r / 2,
    columns: r,
    data: Float32Array.from(
      { length: (r * r) / 2 },
      (_, i) => data[(2 * Math.floor(i / r) + first) * r + (i % r)]!,
    ),
  });
  return {
    a: transposed(product(normal(inFeatures, r / 2, 0.1, random.a), half(0))),
    b: product(normal(outFeatures, r / 2, 0.1, random.b), half(1)),
  };
}

/** Values that are a part of the weight. */
function startOf(path: string, layer: Linear, config: LoraConfig, seed: number): Factors {
  const { r, scale } = rankOf(path, config);
  const method = String(config.initLoraWeights);
  if (layer instanceof Linear4bit && layer.bits !== undefined)
    throw new CraftError({
      subject: "init_lora_weights",
      value: method,
      reason: `is taken out of the weight, which ${path} has in 4 bits`,
      remedy: "Use true, or load the model without quantisation.",
    });
  const most = Math.min(layer.inFeatures, layer.outFeatures);
  if (r > most)
    throw new CraftError({
      subject: "init_lora_weights",
      value: method,
      reason: `needs ranks up to the smaller side of a weight, which is ${most} in ${path}, and the rank there is ${r}`,
      remedy: "Lower lora_r, or give this layer a rank of its own in rank_pattern.",
    });
  using weight = floatWeight(layer);
  if (method === "olora") return orthonormalFactors(weight, r);
  if (method === "pissa") return principalFactors(weight, r, scale);
  const iterations = Number(/\d+$/.exec(method)![0]);
  return iteratedFactors(weight, { r, scale, iterations }, new Random(seed, "lora_start", path));
}
