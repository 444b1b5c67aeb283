/** @file An adapter whose update is a weighted sum of others'. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { Parameter } from "../tensor/index.js";
import { newAdapterConfig } from "./adapter_config.js";
import { AdapterWeights, type Update } from "./adapter_weights.js";
import { largestFactors, type Factors } from "./decompositions.js";
import { product, tensorOf, type Matrix } from "./matrix.js";
import { adaptable, rankOf } from "./targets.js";

/** How updates are put together; names and results are those of PEFT. */
export type Combination =
  /** Of one rank, by the largest singular values of the sum; the largest rank by default. */
  | { readonly type: "svd"; readonly rank?: number }
  /** Exactly, with the sum of the ranks. */
  | { readonly type: "cat" }
  /** Sums of the factors, each by the root of weight and scale; all ranks must be alike. */
  | { readonly type: "linear" };

/** One of the adapters that are put together. */
export interface Part {
  readonly name: string;
  readonly adapter: AdapterWeights;
  readonly weight: number;
}

/** A part's factors for one layer. */
interface Share extends Factors {
  /** Weight times scale. */
  readonly factor: number;
}

/** @throws CraftError for adapters whose updates are not a product of two factors alone. */
export function combine(model: CausalLM, parts: readonly Part[], combination: Combination): AdapterWeights {
  const first = parts[0]?.adapter.config;
  if (first === undefined)
    throw new CraftError({ subject: "adapters", value: [], reason: "must name at least one" });
  for (const part of parts) requireSimple(part);
  const ranks = parts.map(({ adapter: { config } }) =>
    Math.max(config.r, ...Object.values(config.rankPattern)),
  );
  const type = parts.length === 1 ? "linear" : combination.type;
  if (type === "linear" && new Set(ranks).size > 1)
    throw new CraftError({
      subject: "combination",
      value: type,
      reason: `needs adapters of one rank, and these have ${ranks.join(", ")}`,
      remedy: "Use cat or svd.",
    });
  const wanted = combination.type === "svd" ? combination.rank : undefined;
  const r = type === "cat" ? ranks.reduce((a, b) => a + b, 0) : (wanted ?? Math.max(...ranks));
  const paths = new Set(parts.flatMap(({ adapter }) => [...adapter.updates.keys()]));
  const targets = adaptable(model).filter(([path]) => paths.has(path));
  const config = newAdapterConfig(
    { r, loraAlpha: r, targetModules: targets.map(([path]) => path), loraDropout: first.loraDropout },
    first,
  );
  const factors = (path: string): { readonly a: Parameter; readonly b: Parameter } => {
    const shares = parts.flatMap((part) => shareOf(part, path));
    const { a, b } = type === "cat" ? joined(shares) : type === "svd" ? best(shares, r) : summed(shares);
    const { device } = model.headWeight().value;
    const upload = (matrix: Matrix): Parameter => new Parameter(tensorOf(matrix, device));
    return { a: upload(widened(a, r, "rows")), b: upload(widened(b, r, "columns")) };
  };
  return AdapterWeights.make(model, config, targets, {
    linear: factors,
    embedding: factors,
    own: () => {
      throw new Error("such an adapter trains no module whole");
    },
    table: () => undefined,
  });
}

function requireSimple({ name, adapter: { config } }: Part): void {
  const { useDora, modulesToSave, bias, initLoraWeights } = config;
  const reason = useDora
    ? "use_dora"
    : modulesToSave !== undefined
      ? "modules_to_save"
      : bias !== "none"
        ? "bias"
        : /^(pissa|olora)/.test(String(initLoraWeights))
          ? "init_lora_weights"
          : undefined;
  if (reason === undefined) return;
  throw new CraftError({
    subject: "adapters",
    value: name,
    reason: `has more than two factors for each layer (${reason}), of which there is no weighted sum`,
  });
}

function shareOf({ adapter, weight }: Part, path: string): Share[] {
  const update: Update | undefined = adapter.updates.get(path);
  if (update === undefined) return [];
  const { lora } = update;
  const [a, b] = "loraA" in lora ? [lora.loraA, lora.loraB] : [lora.loraEmbeddingA, lora.loraEmbeddingB];
  return [{ a: host(a), b: host(b), factor: weight * rankOf(path, adapter.config).scale }];
}

const host = ({ value }: Parameter): Matrix => ({
  rows: value.shape[0]!,
  columns: value.shape[1]!,
  data: Float32Array.from(value.toNumbers()),
});

const scaled = (matrix: Matrix, by: number): Matrix => ({ ...matrix, data: matrix.data.map((x) => x * by) });

/** A: rows of all, times their factors; B: columns of all. */
function joined(shares: readonly Share[]): Factors {
  const rows = shares.reduce((sum, { a }) => sum + a.rows, 0);
  const { columns } = shares[0]!.a;
  const a = { rows, columns, data: new Float32Array(rows * columns) };
  const b = { rows: shares[0]!.b.rows, columns: rows, data: new Float32Array(shares[0]!.b.rows * rows) };
  let before = 0;
  for (const share of shares) {
    a.data.set(scaled(share.a, share.factor).data, before * columns);
    for (let i = 0; i < b.rows; i++)
      b.data.set(share.b.data.subarray(i * share.b.columns, (i + 1) * share.b.columns), i * rows + before);
    before += share.a.rows;
  }
  return { a, b };
}

function summed(shares: readonly Share[]): Factors {
  if (new Set(shares.map(({ a }) => a.rows)).size > 1)
    throw new CraftError({
      subject: "combination",
      value: "linear",
      reason: "needs layers of one rank, and rank_pattern gives some another one",
      remedy: "Use cat or svd.",
    });
  const sum = (of: (share: Share) => Matrix): Matrix =>
    shares.map(of).reduce((x, y) => ({ ...x, data: x.data.map((value, i) => value + y.data[i]!) }));
  const root = ({ factor }: Share): number => Math.sqrt(Math.abs(factor));
  return {
    a: sum((share) => scaled(share.a, Math.sign(share.factor) * root(share))),
    b: sum((share) => scaled(share.b, root(share))),
  };
}

/** The r largest singular values go to B. */
function best(shares: readonly Share[], r: number): Factors {
  const { a, b } = joined(shares);
  using whole = tensorOf(product(b, a));
  return largestFactors(whole, Math.min(r, b.rows, a.columns));
}

/** With rows, or columns, of zeros up to r. */
function widened({ rows, columns, data }: Matrix, r: number, which: "rows" | "columns"): Matrix {
  if (which === "rows") {
    const wide = new Float32Array(r * columns);
    wide.set(data);
    return { rows: r, columns, data: wide };
  }
  const wide = new Float32Array(rows * r);
  for (let i = 0; i < rows; i++) wide.set(data.subarray(i * columns, (i + 1) * columns), i * r);
  return { rows, columns: r, data: wide };
}
