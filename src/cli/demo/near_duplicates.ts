import { CraftError } from "../../errors.js";

/**
 * Groups items so that any two in different groups are unlike each other in every version.
 *
 * Two texts are alike when the Jaccard index of their word sets, |A ∩ B| / |A ∪ B|, reaches the threshold;
 * two items when they are alike in any version; and groups are the transitive closure of that. Before
 * comparison, letters lose their case, and quoted code and placeholders all become the same word. Runs of
 * Chinese and Japanese characters count as their character pairs.
 *
 * @param items for each item its versions (the same text in several languages), in one order for all.
 * @param threshold above 0, at most 1.
 * @returns groups of item positions, ascending, in order of their first item.
 */
export function groupNearDuplicates(items: readonly (readonly string[])[], threshold: number): number[][] {
  if (!(threshold > 0 && threshold <= 1)) {
    throw new CraftError({
      subject: "threshold",
      value: threshold,
      reason: "similarity lies above 0, up to 1",
    });
  }
  const parents = items.map((_, item) => item);
  const versions = items[0]?.length ?? 0;
  for (let version = 0; version < versions; version++) {
    const sets = sortedWordSets(items.map((texts) => texts[version]!));
    joinSimilar(sets, threshold, parents);
  }
  const groups = new Map<number, number[]>();
  for (const item of items.keys()) {
    const root = rootOf(parents, item);
    const group = groups.get(root);
    if (group === undefined) groups.set(root, [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

/** The words by which two texts are compared: see {@link groupNearDuplicates}. */
export function comparableWords(text: string): Set<string> {
  const masked = text
    .toLowerCase()
    .replace(/(?<![\p{L}\p{N}])(['"`])(?:(?!\1).)*\1(?![\p{L}\p{N}])/gu, " _ ")
    .replace(/\{\d+\}/gu, " _ ");
  const words = new Set<string>();
  for (const [run] of masked.matchAll(
    /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}ー]+|[^\P{L}\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]+|[\p{N}_]+/gu,
  )) {
    if (!/^[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]/u.test(run) || run.length === 1) words.add(run);
    else for (let i = 0; i + 1 < run.length; i++) words.add(run.slice(i, i + 2));
  }
  return words;
}

/** Word sets as ascending numbers, the rarest word of the collection being 0. */
function sortedWordSets(texts: readonly string[]): Int32Array[] {
  const sets = texts.map(comparableWords);
  const frequency = new Map<string, number>();
  for (const set of sets) for (const word of set) frequency.set(word, (frequency.get(word) ?? 0) + 1);
  const byRarity = [...frequency].sort(([a, m], [b, n]) => m - n || (a < b ? -1 : 1));
  const numbers = new Map(byRarity.map(([word], number) => [word, number]));
  return sets.map((set) => Int32Array.from(set, (word) => numbers.get(word)!).sort());
}

/**
 * Joins the sets that are alike. Two sets with Jaccard index t share a word among the rarest
 * n - ⌈t·n⌉ + 1 of each, so only sets that meet in an index of those words are compared.
 */
function joinSimilar(sets: readonly Int32Array[], threshold: number, parents: number[]): void {
  const holders = new Map<number, number[]>();
  for (const [item, set] of sets.entries()) {
    const seen = new Set<number>();
    for (const word of set.subarray(0, set.length - Math.ceil(threshold * set.length - 1e-9) + 1)) {
      const others = holders.get(word) ?? [];
      for (const other of others) {
        if (seen.has(other)) continue;
        seen.add(other);
        const [left, right] = [rootOf(parents, item), rootOf(parents, other)];
        if (left !== right && jaccard(set, sets[other]!) >= threshold) {
          parents[Math.max(left, right)] = Math.min(left, right);
        }
      }
      others.push(item);
      holders.set(word, others);
    }
  }
}

function jaccard(left: Int32Array, right: Int32Array): number {
  let shared = 0;
  for (let i = 0, j = 0; i < left.length && j < right.length;) {
    if (left[i] === right[j]) shared++;
    const [a, b] = [left[i]!, right[j]!];
    if (a <= b) i++;
    if (b <= a) j++;
  }
  return shared / (left.length + right.length - shared);
}

function rootOf(parents: number[], item: number): number {
  let root = item;
  while (parents[root] !== root) {
    parents[root] = parents[parents[root]!]!;
    root = parents[root]!;
  }
  return root;
}
