/** @file The unigram model: of all ways to cut a word into tokens, the one with the largest sum of scores. */

import { utf8 } from "./bytes.js";
import type { ModelConfig } from "./config.js";
import type { Model, Word } from "./model.js";
import { Vocabulary, WordBuilder } from "./model.js";

/** How far below the lowest score an unknown character ranks. */
const unknownPenalty = 10;

interface Step {
  /** Sum of scores up to here. */
  readonly score: number;
  /** Where the last token on the best way to here starts, and its id; undefined for an unknown character. */
  readonly from: number;
  readonly id: number | undefined;
}

export class Unigram implements Model {
  readonly vocabulary: Vocabulary;
  private readonly scores: readonly number[];
  private readonly unknown: number;
  private readonly unknownScore: number;
  private readonly longest: number;
  private readonly byteFallback: boolean;

  constructor(config: Extract<ModelConfig, { type: "Unigram" }>) {
    this.vocabulary = new Vocabulary(config.vocab.map(([token], id) => [token, id]));
    this.scores = config.vocab.map(([, score]) => score);
    this.unknown = config.unk_id ?? 0;
    this.unknownScore = this.scores.reduce((least, score) => Math.min(least, score), 0) - unknownPenalty;
    this.longest = config.vocab.reduce((most, [token]) => Math.max(most, token.length), 1);
    this.byteFallback = config.byte_fallback;
  }

  encode(word: string): Word {
    const result = new WordBuilder();
    let unknownFrom: number | undefined;
    for (const { from, id, end } of this.best(word)) {
      if (id === undefined) unknownFrom ??= from;
      else {
        if (unknownFrom !== undefined) this.pushUnknown(word, unknownFrom, from, result);
        unknownFrom = undefined;
        result.push(id, from, end);
      }
    }
    if (unknownFrom !== undefined) this.pushUnknown(word, unknownFrom, word.length, result);
    return result;
  }

  /** Viterbi over the places between characters. */
  private best(word: string): { from: number; end: number; id: number | undefined }[] {
    const steps: (Step | undefined)[] = [{ score: 0, from: 0, id: undefined }];
    const offer = (end: number, step: Step) => {
      const known = steps[end];
      if (known === undefined || step.score > known.score) steps[end] = step;
    };
    for (let from = 0; from < word.length;) {
      const width = (word.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
      const score = steps[from]?.score ?? 0;
      let coversOne = false;
      for (let end = from + 1; end <= Math.min(word.length, from + this.longest); end++) {
        const id = this.vocabulary.id(word.slice(from, end));
        if (id === undefined || id === this.unknown) continue;
        offer(end, { score: score + (this.scores[id] ?? 0), from, id });
        if (end === from + width) coversOne = true;
      }
      if (!coversOne) offer(from + width, { score: score + this.unknownScore, from, id: undefined });
      from += width;
    }
    const way: { from: number; end: number; id: number | undefined }[] = [];
    for (let end = word.length; end > 0;) {
      const { from, id } = steps[end] ?? { from: 0, id: undefined };
      way.push({ from, end, id });
      end = from;
    }
    return way.reverse();
  }

  /** Neighbouring unknown characters are one token, or their bytes where the vocabulary has them. */
  private pushUnknown(word: string, start: number, end: number, result: WordBuilder): void {
    const values = Array.from(word.slice(start, end)).flatMap((char) => utf8(char.codePointAt(0) ?? 0));
    const bytes = this.byteFallback ? this.vocabulary.bytes(values) : undefined;
    for (const id of bytes ?? [this.unknown]) result.push(id, start, end);
  }
}
