/** @file Byte-pair encoding: merges the pair of neighbours that was learned first, until none is left. */

import { CraftError } from "../../errors.js";
import { utf8 } from "./bytes.js";
import type { ModelConfig } from "./config.js";
import type { Model, Word } from "./model.js";
import { Vocabulary, WordBuilder } from "./model.js";
import { NumberHeap } from "./number_heap.js";

type BpeConfig = Extract<ModelConfig, { type: "BPE" }>;

/** Longer words are rarely seen twice. */
const longestCached = 128;
const cacheCapacity = 20_000;
const wordStart = /[^▁]▁/;

export class Bpe implements Model {
  readonly vocabulary: Vocabulary;
  private readonly config: BpeConfig;
  private readonly unknown: number | undefined;
  /** Pair of ids, packed into one number, to the rank of its merge and the id that it gives. */
  private readonly ranks = new Map<number, number>();
  private readonly merged: number[] = [];
  private readonly base: number;
  private readonly cache = new Map<string, Word>();
  /** Whether no token has U+2581 after another character, so that no merge crosses the start of a word. */
  private readonly splitsAtSpaces: boolean;

  constructor(config: BpeConfig) {
    if (typeof config.dropout === "number" && config.dropout !== 0) {
      throw new CraftError({
        subject: "model.dropout in tokenizer.json",
        value: config.dropout,
        reason: "random merges are not supported: the same text must give the same tokens",
        remedy: "Set it to null",
      });
    }
    this.config = config;
    this.vocabulary = new Vocabulary(Object.entries(config.vocab));
    this.unknown = this.vocabulary.required(config.unk_token, "model.unk_token");
    this.base = 1 + Object.values(config.vocab).reduce((most, id) => Math.max(most, id), 0);
    const affixed = Boolean(config.continuing_subword_prefix ?? config.end_of_word_suffix);
    this.splitsAtSpaces = !affixed && !Object.keys(config.vocab).some((token) => wordStart.test(token));
    config.merges.forEach((merge, rank) => this.addMerge(merge, rank));
  }

  private addMerge(merge: string | readonly [string, string], rank: number): void {
    const [left, right] = typeof merge === "string" ? merge.split(" ") : merge;
    const prefix = this.config.continuing_subword_prefix?.length ?? 0;
    const result = left === undefined || right === undefined ? undefined : left + right.slice(prefix);
    const ids = [left, right, result].map((token) =>
      token === undefined ? undefined : this.vocabulary.id(token),
    );
    const [a, b, c] = ids;
    if (a === undefined || b === undefined || c === undefined) {
      throw new CraftError({
        subject: `merge ${rank} in tokenizer.json`,
        value: merge,
        reason: "it names a token that the vocabulary does not have",
        remedy: "The file is damaged: fetch it again",
      });
    }
    this.ranks.set(a * this.base + b, rank);
    this.merged[rank] = c;
  }

  encode(word: string): Word {
    const known = this.cache.get(word);
    if (known !== undefined) return known;
    const whole = this.config.ignore_merges ? this.vocabulary.id(word) : undefined;
    const found: Word =
      whole === undefined ? this.encodeParts(word) : { ids: [whole], starts: [0], ends: [word.length] };
    if (word.length <= longestCached) {
      if (this.cache.size >= cacheCapacity) this.cache.clear();
      this.cache.set(word, found);
    }
    return found;
  }

  /** Without a pre-tokenizer a whole text comes as one word: cut where that changes nothing, its parts repeat. */
  private encodeParts(word: string): Word {
    if (!this.splitsAtSpaces || !wordStart.test(word)) return this.merge(this.symbols(word));
    const all = new WordBuilder();
    let start = 0;
    for (const part of word.split(/(?<=[^▁])(?=▁)/)) {
      const { ids, starts, ends } = this.encode(part);
      ids.forEach((id, i) => all.push(id, start + (starts[i] ?? 0), start + (ends[i] ?? 0)));
      start += part.length;
    }
    return all;
  }

  /** One symbol a character; where the vocabulary lacks it, its bytes, else the unknown token, else nothing. */
  private symbols(word: string): WordBuilder {
    const {
      continuing_subword_prefix: prefix,
      end_of_word_suffix: suffix,
      byte_fallback,
      fuse_unk,
    } = this.config;
    const symbols = new WordBuilder();
    let unknownBefore = false;
    for (let start = 0; start < word.length;) {
      const point = word.codePointAt(start) ?? 0;
      const end = start + (point > 0xffff ? 2 : 1);
      let token = word.slice(start, end);
      if (prefix && start > 0) token = prefix + token;
      if (suffix && end === word.length) token += suffix;
      const id = this.vocabulary.id(token);
      const bytes = id === undefined && byte_fallback ? this.vocabulary.bytes(utf8Of(token)) : undefined;
      const isUnknown = id === undefined && bytes === undefined;
      if (id !== undefined) symbols.push(id, start, end);
      else if (bytes !== undefined) for (const byte of bytes) symbols.push(byte, start, end);
      else if (unknownBefore && fuse_unk) symbols.extend(end);
      else if (this.unknown !== undefined) symbols.push(this.unknown, start, end);
      unknownBefore = isUnknown && this.unknown !== undefined;
      start = end;
    }
    return symbols;
  }

  private merge({ ids, starts, ends }: WordBuilder): Word {
    const size = ids.length;
    if (size < 2) return { ids, starts, ends };
    // A linked list over the symbols: next[i] is the neighbour to the right, and -1 marks a symbol that is gone.
    const next = Int32Array.from(ids, (_, i) => i + 1);
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const rankAt = (i: number) => {
      const j = next[i] ?? size;
      return j < size ? this.ranks.get((ids[i] ?? 0) * this.base + (ids[j] ?? 0)) : undefined;
    };
    // Smallest rank first, and of equal ranks the leftmost: both in one number.
    const queue = new NumberHeap();
    const offer = (i: number) => {
      const rank = rankAt(i);
      if (rank !== undefined) queue.push(rank * size + i);
    };
    for (let i = 0; i < size - 1; i++) offer(i);
    for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
      const i = entry % size;
      const rank = (entry - i) / size;
      if (next[i] === -1 || rankAt(i) !== rank) continue; // one of the two has been merged meanwhile
      const j = next[i] ?? size;
      const after = next[j] ?? size;
      ids[i] = this.merged[rank] ?? 0;
      ends[i] = ends[j] ?? 0;
      next[i] = after;
      next[j] = -1;
      if (after < size) previous[after] = i;
      const before = previous[i] ?? -1;
      if (before >= 0) offer(before);
      offer(i);
    }
    const word = new WordBuilder();
    for (let i = 0; i < size; i = next[i] ?? size) word.push(ids[i] ?? 0, starts[i] ?? 0, ends[i] ?? 0);
    return word;
  }
}

function utf8Of(text: string): number[] {
  return Array.from(text).flatMap((char) => utf8(char.codePointAt(0) ?? 0));
}
