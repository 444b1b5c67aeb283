/** @file Rounding sizes up, so that few different shapes arise and each shape's plan is used many times. */
import { CraftError } from "../errors.js";

export interface BucketOptions {
  /** Round up to a multiple of this; 1 leaves every size as it is. Not together with `buckets`. */
  readonly padToMultipleOf?: number;
  /** The sizes to round up to, ascending; nothing may be larger than the last. Not together with `padToMultipleOf`. */
  readonly buckets?: readonly number[];
  /** No size is rounded up beyond this, and none may be larger. */
  readonly maxLength?: number;
}

/**
 * The smallest bucket that holds `size`. Without options the buckets are the multiples of 8 up to 64, then four to each
 * doubling (80, 96, 112, 128, 160, …), so that less than a fifth of a long bucket is padding.
 *
 * @param size - 0 or more; 0 counts as 1.
 * @throws {@link CraftError} if no bucket is large enough.
 */
export function bucketSize(size: number, options: BucketOptions = {}): number {
  const { padToMultipleOf, buckets, maxLength = Infinity } = options;
  const least = Math.max(1, size);
  if (least > maxLength) {
    throw new CraftError({ subject: "maxLength", value: maxLength, reason: `a length of ${size} is larger` });
  }
  if (buckets !== undefined) {
    const bucket = buckets.find((candidate) => candidate >= least);
    if (bucket === undefined) {
      throw new CraftError({
        subject: "buckets",
        value: buckets,
        reason: `no bucket holds a length of ${size}`,
      });
    }
    return Math.min(bucket, maxLength);
  }
  const step = padToMultipleOf ?? Math.max(8, 2 ** (Math.ceil(Math.log2(least)) - 3));
  return Math.min(Math.ceil(least / step) * step, maxLength);
}

/** @throws {@link CraftError} if the options contradict each other or are out of range. */
export function checkBuckets(options: BucketOptions): void {
  const { padToMultipleOf, buckets, maxLength } = options;
  if (padToMultipleOf !== undefined && buckets !== undefined) {
    throw new CraftError({
      subject: "buckets",
      value: buckets,
      reason: "cannot be given together with padToMultipleOf",
    });
  }
  for (const [subject, value] of Object.entries({ padToMultipleOf, maxLength })) {
    if (value !== undefined && !isPositive(value)) {
      throw new CraftError({ subject, value, reason: "must be an integer of at least 1" });
    }
  }
  if (buckets === undefined) return;
  const ascending = buckets.every((bucket, i) => isPositive(bucket) && (i === 0 || bucket > buckets[i - 1]!));
  if (buckets.length === 0 || !ascending) {
    throw new CraftError({
      subject: "buckets",
      value: buckets,
      reason: "must be ascending integers of at least 1",
    });
  }
}

function isPositive(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}
