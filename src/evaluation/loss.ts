/** @file The loss of a language model on token sequences. */
import { bucketSize } from "../data/buckets.js";
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { tokenLoss } from "../nn/index.js";
import { compile, HostTensor, type Compiled, type Tensor } from "../tensor/index.js";
import { checkRows, requireBatchSize } from "./rows.js";

export interface LossOptions {
  /** Rows that are computed at the same time; rows of like length come together. Default 8. */
  readonly batchSize?: number;
}

export interface Loss {
  /** Mean of -log p(token | tokens before it) over all tokens but the first of each row, in nats. */
  readonly loss: number;
  /** e^loss */
  readonly perplexity: number;
  /** How many tokens that are. */
  readonly tokens: number;
}

type LossProgram = Compiled<[Tensor, Tensor, Tensor, Tensor], Tensor>;

/**
 * Mean negative log-likelihood per predicted token. Every token weighs the same, whatever the length of its row; a row
 * of one token predicts nothing.
 *
 * @param rows token ids, as the model takes them
 * @throws CraftError for a row without tokens, an id that the model has no token for, and if nothing is predicted.
 */
export async function evaluateLoss(
  model: CausalLM,
  rows: readonly (readonly number[])[],
  options: LossOptions = {},
): Promise<Loss> {
  const batchSize = requireBatchSize(options.batchSize ?? 8);
  checkRows(rows, model.shape.vocabSize);
  const predicting = rows.filter((row) => row.length > 1);
  const tokens = predicting.reduce((sum, row) => sum + row.length - 1, 0);
  if (tokens === 0)
    throw new CraftError({
      subject: "rows",
      value: `${rows.length} rows`,
      reason: "have no token to predict, since each has fewer than two",
    });
  const { device } = model.headWeight().value;
  const program: LossProgram = compile(
    (inputIds, positions, labels, weights) => {
      const hidden = model.hiddenStates(inputIds).to(model.dtype);
      const [weight, softcap] = [model.headWeight(), model.logitSoftcap];
      return tokenLoss({ hidden, weight, softcap, positions, labels, weights });
    },
    { device },
  );
  try {
    let sum = 0;
    for (const batch of batchesOf(predicting, batchSize, model.shape.maxLength)) {
      using loss = await program(...feeds(batch));
      sum += loss.item();
    }
    return { loss: sum / tokens, perplexity: Math.exp(sum / tokens), tokens };
  } finally {
    program.dispose();
  }
}

interface LossBatch {
  readonly rows: readonly (readonly number[])[];
  /** Tokens that each row is padded to. */
  readonly length: number;
}

/**
 * Rows of like length together. Rows beyond the model's trained length are not padded: some rotary embeddings depend
 * on the length there.
 */
function* batchesOf(
  rows: readonly (readonly number[])[],
  batchSize: number,
  maxLength: number,
): Generator<LossBatch> {
  const byLength = new Map<number, (readonly number[])[]>();
  for (const row of [...rows].sort((a, b) => a.length - b.length)) {
    const length = row.length > maxLength ? row.length : bucketSize(row.length, { maxLength });
    const sameLength = byLength.get(length) ?? [];
    byLength.set(length, [...sameLength, row]);
  }
  for (const [length, group] of byLength)
    for (let from = 0; from < group.length; from += batchSize)
      yield { rows: group.slice(from, from + batchSize), length };
}

/** Ids, positions that predict, their labels and weights; places that fill up the sizes weigh nothing. */
function feeds({ rows, length }: LossBatch): [HostTensor, HostTensor, HostTensor, HostTensor] {
  const ids = new Int32Array(rows.length * length);
  const count = bucketSize(rows.reduce((sum, row) => sum + row.length - 1, 0));
  const [positions, labels] = [new Int32Array(count), new Int32Array(count)];
  const weights = new Float32Array(count);
  let at = 0;
  rows.forEach((row, i) => {
    ids.set(row, i * length);
    for (let j = 1; j < row.length; j++, at++) {
      positions[at] = i * length + j - 1;
      labels[at] = row[j]!;
      weights[at] = 1;
    }
  });
  return [
    new HostTensor(ids, [rows.length, length], "int64"),
    new HostTensor(positions, [count], "int64"),
    new HostTensor(labels, [count], "int64"),
    new HostTensor(weights, [count], "float32"),
  ];
}
