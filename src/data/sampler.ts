/** @file Which rows make up which batch: a pure function of seed and epoch. */
import { CraftError } from "../errors.js";
import { groupByLength, mixGroups, type Range } from "./ordering.js";
import { Random, type StreamKey } from "../random.js";

export interface BatchSamplerOptions {
  /** Number of rows. */
  readonly rows: number;
  readonly batchSize: number;
  readonly seed: number;
  /** A new order each epoch, default true; otherwise the rows' own order. */
  readonly shuffle?: boolean;
  /** Leave the rows of a short last batch out of the epoch. Default false. */
  readonly dropLast?: boolean;
  /**
   * A last batch of fewer rows than this joins the batch before it, which then has more than `batchSize`. Default 1.
   */
  readonly smallestBatch?: number;
  /** With these, rows of like length share a batch: one number for each row, such as its number of tokens. */
  readonly lengths?: ArrayLike<number>;
  /**
   * With these, one number for each row, shuffling makes no batch of rows that all have the same number, as long as
   * there are others: rows that cannot be told apart by a contrastive loss get company.
   */
  readonly groups?: ArrayLike<number>;
  /** Tells apart several samplers of one seed. */
  readonly stream?: StreamKey;
}

/**
 * Deals rows into batches. Batch `i` of epoch `e` is a pure function of the options, `e` and `i`, so a run that
 * resumes gets the batches that it would have got. Each epoch visits every row once (`dropLast` aside).
 */
export class BatchSampler {
  /** Batches in an epoch. */
  readonly length: number;
  /** Rows that an epoch visits. */
  readonly rowsPerEpoch: number;
  private readonly options: BatchSamplerOptions;
  private known: { readonly epoch: number; readonly order: Uint32Array } | undefined;

  constructor(options: BatchSamplerOptions) {
    const { rows, batchSize, smallestBatch = 1, lengths, groups } = options;
    requirePositive("batchSize", batchSize);
    requirePositive("smallestBatch", smallestBatch);
    if (batchSize < smallestBatch) {
      throw new CraftError({
        subject: "batchSize",
        value: batchSize,
        reason: `a batch needs at least ${smallestBatch} rows here`,
      });
    }
    for (const [subject, values] of Object.entries({ lengths, groups })) {
      if (values === undefined || values.length === rows) continue;
      const reason = `there must be one number for each of the ${rows} rows`;
      throw new CraftError({ subject, value: `${values.length} numbers`, reason });
    }
    this.options = options;
    const full = Math.floor(rows / batchSize);
    const tail = rows - full * batchSize;
    this.length = full + (tail >= smallestBatch && options.dropLast !== true ? 1 : 0);
    this.rowsPerEpoch = options.dropLast === true ? full * batchSize : rows;
    if (this.length === 0) {
      throw new CraftError({
        subject: "rows",
        value: rows,
        reason:
          options.dropLast === true
            ? `with dropLast, ${rows} rows make no batch of ${batchSize}`
            : `at least ${smallestBatch} are needed for a batch`,
      });
    }
  }

  /**
   * The rows of batch `index` of epoch `epoch`.
   *
   * @param index - 0 <= index < length.
   */
  batch(epoch: number, index: number): Uint32Array {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new CraftError({
        subject: "batch",
        value: index,
        reason: `an epoch has the batches 0 to ${this.length - 1}`,
      });
    }
    return this.order(epoch).slice(...this.range(index));
  }

  /** All rows in the order of the epoch. */
  order(epoch: number): Uint32Array {
    if (this.known?.epoch !== epoch) this.known = { epoch, order: this.makeOrder(epoch) };
    return this.known.order;
  }

  private makeOrder(epoch: number): Uint32Array {
    const { rows, seed, shuffle = true, stream = "order", batchSize, lengths, groups } = this.options;
    const random = new Random(seed, stream, epoch);
    const order = shuffle ? random.permutation(rows) : Uint32Array.from({ length: rows }, (_, i) => i);
    const sorted = lengths ? groupByLength(order, lengths, batchSize, shuffle ? random : undefined) : order;
    if (groups === undefined || !shuffle) return sorted;
    return mixGroups(
      sorted,
      groups,
      Array.from({ length: this.length }, (_, index) => this.range(index)),
    );
  }

  private range(index: number): Range {
    const from = index * this.options.batchSize;
    return [from, index === this.length - 1 ? this.rowsPerEpoch : from + this.options.batchSize];
  }
}

function requirePositive(subject: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new CraftError({ subject, value, reason: "must be an integer of at least 1" });
}
