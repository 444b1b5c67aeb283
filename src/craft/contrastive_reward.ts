/** @file A reward for saying what a reference answer says, as the policy itself understands both. */
import { bucketSize } from "../data/buckets.js";
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { compile, HostTensor, normalize, type Tensor } from "../tensor/index.js";
import type { NamedReward } from "../trainers/index.js";
import { pool, type Pooling } from "./losses/pooling.js";

export interface ContrastiveRewardOptions {
  /** Column of the reference answers, as text; rows where it is null are not judged. Default "answer". */
  readonly column?: string | undefined;
  /** Which hidden states stand for a text. Default "mean". */
  readonly pooling?: Pooling | undefined;
  /** Texts that are read at the same time. Default 16. */
  readonly batchSize?: number | undefined;
}

/**
 * The cosine, from -1 to 1, of the policy's pooled final hidden states of a completion and of the reference answer, each
 * read by itself, without the prompt. Tokens that end completions are left out, so that they say nothing. A completion
 * without another token gets 0.
 */
export function contrastiveReward(options: ContrastiveRewardOptions = {}): NamedReward {
  const { column = "answer", pooling = "mean", batchSize = 16 } = options;
  return {
    name: "contrastive",
    score: async ({ texts, columns, policy }) => {
      const { model, tokenizer } = policy;
      const answers = columns[column];
      if (tokenizer === undefined || answers === undefined)
        throw new CraftError({
          subject: "reward contrastive",
          reason:
            tokenizer === undefined
              ? "reads texts, and there is no tokenizer"
              : `there is no column ${column}; the dataset has ${Object.keys(columns).join(", ")}`,
        });
      const read = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false });
      const own = texts.map(read);
      const right = answers.map((answer) => (typeof answer === "string" ? read(answer) : []));
      const vectors = await vectorsOf(model, [...own, ...right], pooling, batchSize);
      return texts.map((_, i) => {
        if (answers[i] === null || answers[i] === undefined) return null;
        const [a, b] = [vectors[i], vectors[texts.length + i]];
        return a === undefined || b === undefined ? 0 : a.reduce((sum, x, k) => sum + x * b[k]!, 0);
      });
    },
  };
}

/** Pooled vectors of length 1; undefined for texts without a token. */
async function vectorsOf(
  model: CausalLM,
  rows: readonly (readonly number[])[],
  pooling: Pooling,
  batchSize: number,
): Promise<(readonly number[] | undefined)[]> {
  const program = compile(
    (ids: Tensor, mask: Tensor) => normalize(pool(model.hiddenStates(ids), mask, pooling), -1),
    { device: model.headWeight().value.device },
  );
  const found = new Array<readonly number[] | undefined>(rows.length).fill(undefined);
  const order = rows
    .map((_, i) => i)
    .filter((i) => rows[i]!.length > 0)
    .sort((a, b) => rows[a]!.length - rows[b]!.length);
  try {
    for (let from = 0; from < order.length; from += batchSize) {
      const batch = order.slice(from, from + batchSize);
      const length = bucketSize(Math.max(...batch.map((i) => rows[i]!.length)));
      const ids = new Int32Array(batch.length * length);
      const mask = new Int32Array(batch.length * length);
      batch.forEach((i, k) => {
        ids.set(rows[i]!, k * length);
        mask.fill(1, k * length, k * length + rows[i]!.length);
      });
      const feed = (data: Int32Array): HostTensor => new HostTensor(data, [batch.length, length], "int64");
      using pooled = await program(feed(ids), feed(mask));
      const values = pooled.toNumbers();
      const size = values.length / batch.length;
      batch.forEach((i, k) => (found[i] = values.slice(k * size, (k + 1) * size)));
    }
  } finally {
    program.dispose();
  }
  return found;
}
