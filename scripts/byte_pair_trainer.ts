/** A trained byte-level BPE vocabulary, in the spelling of `tokenizer.json`. */
export interface BytePairs {
  /** Token to id: special tokens, then the 256 bytes, then the merged tokens. */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** The merges in the order in which they apply, as `left right`. */
  readonly merges: readonly string[];
}

/**
 * Trains byte-level BPE: cuts texts into words with GPT-2's pattern, starts from their bytes and joins, again
 * and again, the most frequent neighbouring pair of tokens (of equally frequent ones that of the lowest ids).
 * The same as `BpeTrainer` of Hugging Face's tokenizers with its byte-level alphabet.
 *
 * @param texts each with the number of times that it counts.
 * @param size tokens in the vocabulary, special ones and bytes included. It becomes smaller when no pair is left.
 */
export function trainBytePairs(
  texts: Iterable<readonly [text: string, weight: number]>,
  specialTokens: readonly string[],
  size: number,
): BytePairs {
  const tokens = [...specialTokens, ...[...byteSpelling].sort()];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const words = countWords(texts).map(([word, count]) => ({ count, pieces: spellBytes(word, ids) }));
  const pairs = new PairTable();
  for (const [at, word] of words.entries()) pairs.add(at, word);
  const merges: string[] = [];
  while (tokens.length < size) {
    const best = pairs.mostFrequent();
    if (best === undefined) break;
    const [left, right] = best;
    const joined = ids.get(tokens[left]! + tokens[right]!) ?? tokens.length;
    merges.push(`${tokens[left]!} ${tokens[right]!}`);
    if (joined === tokens.length) {
      ids.set(tokens[left]! + tokens[right]!, joined);
      tokens.push(tokens[left]! + tokens[right]!);
    }
    for (const at of pairs.wordsWith(left, right)) {
      const word = words[at]!;
      const pieces = join(word.pieces, left, right, joined);
      if (pieces.length === word.pieces.length) continue;
      pairs.remove(word);
      word.pieces = pieces;
      pairs.add(at, word);
    }
  }
  return { vocabulary: ids, merges };
}

interface Word {
  readonly count: number;
  pieces: number[];
}

const wordPattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

function countWords(texts: Iterable<readonly [string, number]>): [string, number][] {
  const counts = new Map<string, number>();
  for (const [text, weight] of texts) {
    for (const [word] of text.matchAll(wordPattern)) counts.set(word, (counts.get(word) ?? 0) + weight);
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** GPT-2's printable stand-in for each byte: itself where it is a visible Latin-1 character, else from U+0100 on. */
const byteSpelling: readonly string[] = (() => {
  let next = 0x100;
  const visible = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(visible(byte) ? byte : next++));
})();

function spellBytes(word: string, ids: ReadonlyMap<string, number>): number[] {
  return Array.from(new TextEncoder().encode(word), (byte) => ids.get(byteSpelling[byte]!)!);
}

function join(pieces: readonly number[], left: number, right: number, joined: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < pieces.length; i++) {
    if (pieces[i] === left && pieces[i + 1] === right) {
      result.push(joined);
      i++;
    } else result.push(pieces[i]!);
  }
  return result;
}

/** Counts of neighbouring token pairs over all words, and where to look for each pair. */
class PairTable {
  private readonly counts = new Map<number, number>();
  private readonly holders = new Map<number, Set<number>>();
  private readonly changed = new Set<number>();
  private readonly queued = new Map<number, number>();
  private readonly queue = new PairQueue();

  add(at: number, word: Word): void {
    for (const pair of pairsOf(word.pieces)) {
      this.counts.set(pair, (this.counts.get(pair) ?? 0) + word.count);
      this.changed.add(pair);
      const holders = this.holders.get(pair);
      if (holders === undefined) this.holders.set(pair, new Set([at]));
      else holders.add(at);
    }
  }

  remove(word: Word): void {
    for (const pair of pairsOf(word.pieces)) {
      this.counts.set(pair, this.counts.get(pair)! - word.count);
      this.changed.add(pair);
    }
  }

  mostFrequent(): [left: number, right: number] | undefined {
    for (const pair of this.changed) {
      const count = this.counts.get(pair)!;
      if (count !== this.queued.get(pair)) this.queue.push(pair, count);
      this.queued.set(pair, count);
    }
    this.changed.clear();
    // Each change of a count queued the pair anew; what carries an older count is passed over.
    for (let top = this.queue.pop(); top !== undefined; top = this.queue.pop()) {
      const [pair, count] = top;
      if (count > 0 && count === this.counts.get(pair)) return [Math.floor(pair / pairBase), pair % pairBase];
    }
    return undefined;
  }

  /** Words that hold the pair or have held it. */
  wordsWith(left: number, right: number): number[] {
    return [...(this.holders.get(left * pairBase + right) ?? [])];
  }
}

/** A binary heap of pairs: the highest count on top, of equal ones the lowest pair. */
class PairQueue {
  private readonly heap: [pair: number, count: number][] = [];

  push(pair: number, count: number): void {
    let at = this.heap.push([pair, count]) - 1;
    while (at > 0 && this.precedes(at, (at - 1) >> 1)) at = this.swap(at, (at - 1) >> 1);
  }

  pop(): [pair: number, count: number] | undefined {
    const top = this.heap[0];
    const last = this.heap.pop();
    if (last === undefined || this.heap.length === 0) return top;
    this.heap[0] = last;
    for (let at = 0; ;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      if (left >= this.heap.length) return top;
      const child = right < this.heap.length && this.precedes(right, left) ? right : left;
      if (!this.precedes(child, at)) return top;
      at = this.swap(at, child);
    }
  }

  private precedes(a: number, b: number): boolean {
    const [[leftPair, leftCount], [rightPair, rightCount]] = [this.heap[a]!, this.heap[b]!];
    return leftCount > rightCount || (leftCount === rightCount && leftPair < rightPair);
  }

  private swap(from: number, to: number): number {
    [this.heap[from], this.heap[to]] = [this.heap[to]!, this.heap[from]!];
    return to;
  }
}

const pairBase = 2 ** 20;

function* pairsOf(pieces: readonly number[]): Generator<number> {
  for (let i = 0; i + 1 < pieces.length; i++) yield pieces[i]! * pairBase + pieces[i + 1]!;
}
