import { CraftError } from "../../errors.js";

/** The tokens of one word: the i-th stands for the UTF-16 units from `starts[i]` up to `ends[i]`. */
export interface Word {
  readonly ids: readonly number[];
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** Turns a word into tokens of its vocabulary. */
export interface Model {
  readonly vocabulary: Vocabulary;
  encode(word: string): Word;
}

/** The two ways through a vocabulary. */
export class Vocabulary {
  private readonly ids = new Map<string, number>();
  private readonly tokens: (string | undefined)[] = [];

  constructor(entries: Iterable<readonly [string, number]>) {
    for (const [token, id] of entries) {
      if (!Number.isInteger(id) || id < 0) {
        throw new CraftError({
          subject: `the id of token ${JSON.stringify(token)} in tokenizer.json`,
          value: id,
          reason: "ids are integers from 0 on",
          remedy: "The file is damaged: fetch it again",
        });
      }
      this.ids.set(token, id);
      this.tokens[id] = token;
    }
  }

  get size(): number {
    return this.ids.size;
  }

  get largestId(): number {
    return this.tokens.length - 1;
  }

  id(token: string): number | undefined {
    return this.ids.get(token);
  }

  token(id: number): string | undefined {
    return this.tokens[id];
  }

  /** The ids of the byte tokens `<0x00>` to `<0xFF>`, where all of these bytes have one. */
  bytes(values: readonly number[]): number[] | undefined {
    const ids: number[] = [];
    for (const value of values) {
      const id = this.ids.get(`<0x${value.toString(16).toUpperCase().padStart(2, "0")}>`);
      if (id === undefined) return undefined;
      ids.push(id);
    }
    return ids;
  }

  /** The id of a token that a setting names, or undefined where it names none. */
  required(token: string | null | undefined, setting: string): number | undefined {
    if (token === null || token === undefined) return undefined;
    const id = this.ids.get(token);
    if (id !== undefined) return id;
    throw new CraftError({
      subject: `${setting} in tokenizer.json`,
      value: token,
      reason: "the vocabulary has no such token",
      remedy: "The file is damaged: fetch it again",
    });
  }
}

/** Collects a word token by token. */
export class WordBuilder implements Word {
  readonly ids: number[] = [];
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  push(id: number, start: number, end: number): void {
    this.ids.push(id);
    this.starts.push(start);
    this.ends.push(end);
  }

  /** Lets the last token reach up to `end`. */
  extend(end: number): void {
    this.ends[this.ends.length - 1] = end;
  }
}
