import { CraftError } from "../errors.js";
import { checkPairs, dot, normalise, type Vectors } from "./vectors.js";

export interface RetrievalOptions {
  /** The ranks at which recall is told. Default 1, 5 and 10. */
  readonly recallAt?: readonly number[];
  /**
   * One name for each row. Candidates that share the query's name are all right answers, and the best
   * placed one counts: for texts that occur more than once. Default: row i alone answers query i.
   */
  readonly names?: readonly string[];
}

export interface RetrievalScores {
  /** For each k asked for, the share of queries with a right answer among the k nearest, 0 to 1. */
  readonly recall: ReadonlyMap<number, number>;
  /** Mean over queries of 1 / rank of the best right answer, 0 to 1. */
  readonly meanReciprocalRank: number;
  /** Rank of the best right answer of each query, from 1. */
  readonly ranks: readonly number[];
}

/**
 * Searches, for each query, the nearest of all candidates by cosine similarity. Candidate i answers query i.
 * A wrong candidate that is exactly as near as the right one is placed before it, so that vectors which
 * have collapsed into one score no better than the worst guess.
 *
 * @param queries n rows of d float32 values, none all zero.
 * @param candidates n rows of d values.
 * @throws CraftError when the rows differ in number or length, are fewer than 2, hold a value that is not
 * finite or are zero, or when a k lies outside 1..n.
 */
export function retrieval(
  queries: Vectors,
  candidates: Vectors,
  options: RetrievalOptions = {},
): RetrievalScores {
  const size = checkPairs(queries, candidates, "queries", "candidates");
  const { recallAt = [1, 5, 10].filter((k) => k <= size), names } = options;
  for (const k of recallAt) {
    if (!Number.isInteger(k) || k < 1 || k > size) {
      throw new CraftError({
        subject: "recallAt",
        value: k,
        reason: `a rank is a whole number from 1 to the number of candidates, ${size}`,
      });
    }
  }
  if (names !== undefined && names.length !== size) {
    throw new CraftError({
      subject: "names",
      value: names.length,
      reason: `there must be one for each of the ${size} rows`,
    });
  }
  const right = names === undefined ? undefined : (query: number, at: number) => names[query] === names[at];
  const ranks = rankRightAnswers(normalise(queries), normalise(candidates), right);
  const recall = new Map(recallAt.map((k) => [k, share(ranks, (rank) => rank <= k)]));
  const meanReciprocalRank = ranks.reduce((sum, rank) => sum + 1 / rank, 0) / size;
  return { recall, meanReciprocalRank, ranks };
}

/**
 * The share of anchors whose own positive is the most similar one in their batch, by cosine: the accuracy
 * of the InfoNCE classification. Rows are taken in order, in ⌊n / batchSize⌋ batches of nearly equal size
 * and at least `batchSize` rows (one batch of n when there are fewer), so that no row is left out and none
 * meets fewer rivals than asked. Ties count as wrong.
 *
 * @throws CraftError as {@link retrieval}, and for a batch size below 2.
 */
export function contrastiveAccuracy(anchors: Vectors, positives: Vectors, batchSize: number): number {
  const size = checkPairs(anchors, positives, "anchors", "positives");
  if (!Number.isInteger(batchSize) || batchSize < 2) {
    throw new CraftError({
      subject: "batchSize",
      value: batchSize,
      reason: "an anchor needs at least one negative beside its positive",
      remedy: "Use 2 or more",
    });
  }
  const left = normalise(anchors);
  const right = normalise(positives);
  const batches = Math.max(1, Math.floor(size / batchSize));
  let correct = 0;
  for (let batch = 0; batch < batches; batch++) {
    const start = Math.floor((batch * size) / batches);
    const end = Math.floor(((batch + 1) * size) / batches);
    const ranks = rankRightAnswers(left.slice(start, end), right.slice(start, end));
    correct += ranks.filter((rank) => rank === 1).length;
  }
  return correct / size;
}

function rankRightAnswers(
  queries: Vectors,
  candidates: Vectors,
  isRight: (query: number, candidate: number) => boolean = (query, candidate) => query === candidate,
): number[] {
  return queries.map((query, row) => {
    const similarity = candidates.map((candidate) => dot(query, candidate));
    const best = similarity.reduce(
      (top, value, at) => (isRight(row, at) ? Math.max(top, value) : top),
      -Infinity,
    );
    const before = similarity.filter((value, at) => value >= best && !isRight(row, at)).length;
    return before + 1;
  });
}

function share(ranks: readonly number[], holds: (rank: number) => boolean): number {
  return ranks.filter(holds).length / ranks.length;
}
