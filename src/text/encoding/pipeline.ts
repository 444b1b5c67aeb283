/** @file A tokenizer.json at work: added tokens, normaliser, pre-tokenizer, model, post-processor; and back. */

import type { z } from "zod";
import { CraftError } from "../../errors.js";
import type { AddedToken } from "./added_tokens.js";
import { AddedTokens } from "./added_tokens.js";
import { tokenizerJson } from "./config.js";
import type { Decoder } from "./decoders.js";
import { makeDecoder } from "./decoders.js";
import type { Model } from "./model.js";
import { makeModel } from "./models.js";
import type { Normalizer } from "./normalizers.js";
import { makeNormalizer } from "./normalizers.js";
import { Piece } from "./piece.js";
import type { Frame } from "./post_processors.js";
import { makeFrame } from "./post_processors.js";
import type { PreTokenizer } from "./pre_tokenizers.js";
import { makePreTokenizer } from "./pre_tokenizers.js";

/** Token ids, and for each the UTF-16 units of the text that it stands for, as [start, end). */
export interface Encoding {
  readonly ids: number[];
  readonly offsets: [number, number][];
}

export interface AddedTokenInput {
  readonly content: string;
  readonly singleWord?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly normalized?: boolean;
  readonly special?: boolean;
}

export class Pipeline {
  private readonly normalizer: Normalizer | undefined;
  private readonly preTokenizer: PreTokenizer | undefined;
  private readonly model: Model;
  private readonly frame: Frame;
  private readonly decoder: Decoder | undefined;
  private readonly addedById = new Map<number, AddedToken>();
  private readonly idOfAdded = new Map<string, number>();
  private added: AddedTokens;
  private special: ReadonlySet<number>;
  private readonly splitSpecialTokens: boolean;
  readonly modelType: "BPE" | "WordLevel" | "Unigram";

  /**
   * @param json the contents of a tokenizer.json, and `file` its name for messages
   * @param splitSpecialTokens whether special tokens found in a text are split like any other text
   * @throws CraftError naming the part of the file that is missing, damaged or not supported
   */
  constructor(json: unknown, file: string, splitSpecialTokens = false) {
    const checked = tokenizerJson.safeParse(json);
    if (!checked.success) throw refuse(checked.error, json, file);
    const config = checked.data;
    this.normalizer = config.normalizer ? makeNormalizer(config.normalizer) : undefined;
    this.preTokenizer = config.pre_tokenizer ? makePreTokenizer(config.pre_tokenizer) : undefined;
    this.model = makeModel(config.model);
    this.modelType = config.model.type;
    this.splitSpecialTokens = splitSpecialTokens;
    this.frame = makeFrame(config.post_processor);
    this.decoder = config.decoder ? makeDecoder(config.decoder) : undefined;
    for (const token of config.added_tokens) {
      const { id, content, single_word: singleWord, lstrip, rstrip, special } = token;
      const normalized = token.normalized ?? !special;
      this.register({ id, content, singleWord, lstrip, rstrip, normalized, special });
    }
    [this.added, this.special] = this.indexAdded();
  }

  private register(token: AddedToken): void {
    this.addedById.set(token.id, token);
    this.idOfAdded.set(token.content, token.id);
  }

  private indexAdded(): [AddedTokens, ReadonlySet<number>] {
    const all = [...this.addedById.values()];
    const sought = this.splitSpecialTokens ? all.filter((token) => !token.special) : all;
    return [
      new AddedTokens(sought, this.normalizer),
      new Set(all.filter((token) => token.special).map((token) => token.id)),
    ];
  }

  /** Makes tokens of these texts; one that the vocabulary lacks gets the next free id. */
  add(tokens: readonly AddedTokenInput[]): void {
    for (const {
      content,
      singleWord = false,
      lstrip = false,
      rstrip = false,
      special = false,
      normalized = !special,
    } of tokens) {
      if (content === "") continue;
      const id =
        this.tokenToId(content) ??
        Math.max(this.model.vocabulary.size, ...[...this.addedById.keys()].map((k) => k + 1));
      this.register({ id, content, singleWord, lstrip, rstrip, normalized, special });
    }
    [this.added, this.special] = this.indexAdded();
  }

  addedToken(content: string): AddedToken | undefined {
    const id = this.idOfAdded.get(content);
    return id === undefined ? undefined : this.addedById.get(id);
  }

  encode(text: string, addSpecialTokens: boolean): number[] {
    const ids: number[] = addSpecialTokens ? [...this.frame.before] : [];
    for (const { piece, token } of this.added.split(Piece.source(text, false))) {
      if (token !== undefined) ids.push(token.id);
      else
        for (const word of this.words(piece)) for (const id of this.model.encode(word.text).ids) ids.push(id);
    }
    if (addSpecialTokens) ids.push(...this.frame.after);
    return ids;
  }

  encodeWithOffsets(text: string, addSpecialTokens: boolean): Encoding {
    const ids: number[] = [];
    const offsets: [number, number][] = [];
    const push = (id: number, span: [number, number]) => {
      ids.push(id);
      offsets.push(span);
    };
    if (addSpecialTokens) for (const id of this.frame.before) push(id, [0, 0]);
    for (const { piece, token } of this.added.split(Piece.source(text, true))) {
      if (token !== undefined) {
        push(token.id, piece.sourceSpan(0, piece.text.length));
        continue;
      }
      for (const word of this.words(piece)) {
        const { ids: tokens, starts, ends } = this.model.encode(word.text);
        tokens.forEach((id, i) => push(id, word.sourceSpan(starts[i] ?? 0, ends[i] ?? 0)));
      }
    }
    if (addSpecialTokens) for (const id of this.frame.after) push(id, [0, 0]);
    return { ids, offsets };
  }

  private words(piece: Piece): readonly Piece[] {
    return this.preTokenizer?.(piece) ?? [piece];
  }

  /** Ids that have no token give nothing: models often have more rows than their tokenizer has tokens. */
  decode(ids: readonly number[], skipSpecialTokens: boolean): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = skipSpecialTokens && this.special.has(id) ? undefined : this.idToToken(id);
      if (token !== undefined) tokens.push(token);
    }
    return this.decoder ? this.decoder(tokens).join("") : tokens.join(" ");
  }

  /** Ids of the tokens that decoding may leave out. */
  get specialIds(): ReadonlySet<number> {
    return this.special;
  }

  tokenToId(token: string): number | undefined {
    return this.idOfAdded.get(token) ?? this.model.vocabulary.id(token);
  }

  idToToken(id: number): string | undefined {
    return this.addedById.get(id)?.content ?? this.model.vocabulary.token(id);
  }

  /** How many different tokens there are, added ones included. */
  get vocabSize(): number {
    let size = this.model.vocabulary.size;
    for (const content of this.idOfAdded.keys()) if (this.model.vocabulary.id(content) === undefined) size++;
    return size;
  }

  get largestId(): number {
    return Math.max(this.model.vocabulary.largestId, ...this.addedById.keys());
  }
}

function refuse(error: z.ZodError, json: unknown, file: string): CraftError {
  const [issue] = error.issues;
  const where = issue?.path ?? [];
  const value = where.reduce<unknown>((at, key) => (isObject(at) ? Reflect.get(at, key) : undefined), json);
  const isKind = where.at(-1) === "type" && typeof value === "string";
  return new CraftError({
    subject: where.length === 0 ? file : `${where.join(".")} in ${file}`,
    ...(typeof value === "string" || typeof value === "number" ? { value } : {}),
    reason: isKind ? "steps of this kind are not supported" : (issue?.message ?? "it cannot be read"),
    remedy: isKind
      ? "Report it with the name of the model"
      : "The file is damaged or not a tokenizer.json: fetch it again",
    cause: error,
  });
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
