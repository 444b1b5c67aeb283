/** How often each n-gram of the order occurs. Its parts must not hold the separator. */
export function countNgrams(parts: readonly string[], order: number, separator = " "): Map<string, number> {
  const counts = new Map<string, number>();
  for (let start = 0; start + order <= parts.length; start++) {
    const ngram = parts.slice(start, start + order).join(separator);
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

/** How many n-grams there are in both, each at most as often as in the rarer. */
export function commonNgrams(left: ReadonlyMap<string, number>, right: ReadonlyMap<string, number>): number {
  let common = 0;
  for (const [ngram, count] of left) common += Math.min(count, right.get(ngram) ?? 0);
  return common;
}

/** How many n-grams there are. */
export function totalNgrams(counts: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const count of counts.values()) total += count;
  return total;
}
