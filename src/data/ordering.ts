/** @file Changes to a shuffled order of rows: like lengths together, like texts apart. */
import type { Random } from "../random.js";

/** How many batches' worth of rows are sorted by length at a time: enough to pad little, few enough to mix. */
const batchesSortedTogether = 50;

/**
 * Sorts stretches of an order from long to short, then, given a random stream, puts the full batches in random order.
 * A short last batch stays last, so that the others stay whole.
 */
export function groupByLength(
  order: Uint32Array,
  lengths: ArrayLike<number>,
  batchSize: number,
  random: Random | undefined,
): Uint32Array {
  const sorted = order.slice();
  const stretch = batchSize * batchesSortedTogether;
  for (let start = 0; start < sorted.length; start += stretch) {
    sorted.subarray(start, start + stretch).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  }
  if (random === undefined) return sorted;
  const mixed = sorted.slice();
  random.permutation(Math.floor(sorted.length / batchSize)).forEach((from, to) => {
    mixed.set(sorted.subarray(from * batchSize, (from + 1) * batchSize), to * batchSize);
  });
  return mixed;
}

/** The places of a batch in an order. */
export type Range = readonly [from: number, to: number];

/**
 * Gives each batch whose rows are all of one group a row of another, in exchange for its last one, from the next batch
 * that can spare it. Where none can, the batch stays as it is.
 */
export function mixGroups(
  order: Uint32Array,
  groups: ArrayLike<number>,
  ranges: readonly Range[],
): Uint32Array {
  const mixed = order.slice();
  const groupAt = (place: number) => groups[mixed[place]!]!;
  const uniform = ([from, to]: Range, group: number, except = -1) => {
    for (let place = from; place < to; place++) {
      if (place !== except && groupAt(place) !== group) return false;
    }
    return true;
  };
  ranges.forEach((range, index) => {
    const [from, to] = range;
    const group = groupAt(from);
    if (to - from < 2 || !uniform(range, group)) return;
    const others = [...ranges.slice(index + 1), ...ranges.slice(0, index)];
    for (const other of others) {
      for (let place = other[0]; place < other[1]; place++) {
        if (groupAt(place) === group || uniform(other, group, place)) continue;
        [mixed[place], mixed[to - 1]] = [mixed[to - 1]!, mixed[place]!];
        return;
      }
    }
  });
  return mixed;
}
