/** @file The tokenizer: text to token ids and back. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { maskOf, spansByPrefix } from "./assistant_mask.js";
import {
  hasGenerationMarks,
  renderChat,
  type ChatMessage,
  type NamedTemplate,
  type Rendered,
  type RenderOptions,
} from "./chat_template.js";
import { hasType, part, type AddedToken, type Engine, type Json } from "./engine.js";
import { alignTokens, type Offset, type Piece } from "./offsets.js";
import { bytesOfToken, mendByteRuns } from "./token_bytes.js";

export interface EncodeOptions {
  /** Add the special tokens that the model wants around a text. Default true. */
  readonly addSpecialTokens?: boolean;
}

export interface ChatOptions extends RenderOptions {
  /** Tell which tokens the assistant said. Default false. */
  readonly returnAssistantTokensMask?: boolean;
}

/** A conversation as tokens. */
export interface ChatEncoding {
  readonly ids: number[];
  /** 1 for each token that the assistant said, 0 for others. */
  readonly assistantMask?: number[];
}

const renderOptionNames = [
  "addGenerationPrompt",
  "continueFinalMessage",
  "tools",
  "chatTemplate",
  "templateArguments",
];

/** Tokens by their names in configuration files, such as eos_token. */
export type NamedTokens = ReadonlyMap<string, string>;

/** What a tokenizer is made of; see AutoTokenizer. */
export interface TokenizerParts {
  readonly folder: string;
  /** The files as they were read. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The content of tokenizer.json. */
  readonly json: Json;
  readonly engine: Engine;
  readonly addedTokens: readonly AddedToken[];
  readonly ids: ReadonlyMap<string, number>;
  readonly namedTokens: NamedTokens;
  readonly allSpecialIds: readonly number[];
  readonly modelMaxLength: number;
  readonly chatTemplate: string | Readonly<Record<string, string>> | undefined;
  readonly cleansUp: boolean;
}

/**
 * Turns text into token ids and back, as transformers' fast tokenizers do.
 *
 * @example
 * const tokenizer = await AutoTokenizer.fromPretrained("path/to/model");
 * const ids = tokenizer.encode("Hello");
 * tokenizer.decode(ids, { skipSpecialTokens: true }); // "Hello"
 */
export class Tokenizer {
  /** How many tokens there are, added ones included. */
  readonly vocabSize: number;
  /** Ids of the tokens with a role and of the extra special tokens. */
  readonly allSpecialIds: readonly number[];
  /** How many tokens the model takes; Infinity where the configuration does not say. */
  readonly modelMaxLength: number;
  /** The template, or several by name. */
  readonly chatTemplate: string | Readonly<Record<string, string>> | undefined;
  readonly #parts: TokenizerParts;
  readonly #added: ReadonlyMap<string, AddedToken>;
  readonly #isByteLevel: boolean;
  readonly #hasByteFallback: boolean;
  readonly #unknownId: number | undefined;

  constructor(parts: TokenizerParts) {
    this.#parts = parts;
    this.vocabSize = parts.ids.size;
    this.allSpecialIds = parts.allSpecialIds;
    this.modelMaxLength = parts.modelMaxLength;
    this.chatTemplate = parts.chatTemplate;
    this.#added = new Map(parts.addedTokens.map((token) => [token.content, token]));
    const { pre_tokenizer: preTokenizer, decoder } = parts.json;
    this.#isByteLevel = hasType(preTokenizer, "ByteLevel") || hasType(decoder, "ByteLevel");
    this.#hasByteFallback = hasType(decoder, "ByteFallback");
    const { unk_token: token, unk_id: id } = part(parts.json["model"]) as { [key: string]: unknown };
    this.#unknownId =
      typeof token === "string" ? parts.ids.get(token) : typeof id === "number" ? id : undefined;
  }

  get bosToken(): string | undefined {
    return this.#parts.namedTokens.get("bos_token");
  }
  get eosToken(): string | undefined {
    return this.#parts.namedTokens.get("eos_token");
  }
  get padToken(): string | undefined {
    return this.#parts.namedTokens.get("pad_token");
  }
  get unkToken(): string | undefined {
    return this.#parts.namedTokens.get("unk_token");
  }
  get bosTokenId(): number | undefined {
    return this.#idOf("bos_token");
  }
  get eosTokenId(): number | undefined {
    return this.#idOf("eos_token");
  }
  get padTokenId(): number | undefined {
    return this.#idOf("pad_token");
  }
  get unkTokenId(): number | undefined {
    return this.#idOf("unk_token");
  }

  /** The token of an id; undefined for an id that has none. */
  idToToken(id: number): string | undefined {
    return this.#parts.engine.id_to_token(id);
  }

  /** The id of a token, which is no text: bytes and spaces are written as the vocabulary writes them. */
  tokenToId(token: string): number | undefined {
    return this.#parts.ids.get(token);
  }

  /** The ids of a text. Special tokens written in the text are taken as such. */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    return this.#parts.engine.encode(text, { add_special_tokens: addSpecialTokens }).ids;
  }

  /**
   * The ids of a text and where each token stands in it, in UTF-16 units, end exclusive. All tokens of a character that is
   * split over several have its place; special tokens that are not in the text have [0, 0].
   *
   * @throws {@link CraftError} if the tokenizer changes the text in a way that cannot be followed.
   */
  encodeWithOffsets(
    text: string,
    { addSpecialTokens = true }: EncodeOptions = {},
  ): { readonly ids: number[]; readonly offsets: Offset[] } {
    const { engine } = this.#parts;
    const { ids: own, tokens } = engine.encode(text, { add_special_tokens: false });
    const pieces = tokens.map((token, index) => this.#piece(token, own[index]!));
    const offsets = this.#align(text, pieces);
    if (!addSpecialTokens) return { ids: own, offsets };
    const ids = this.encode(text);
    // The special tokens around a text do not depend on it.
    const before = this.#leadingSpecials();
    const none = (count: number) => Array.from({ length: count }, (): Offset => [0, 0]);
    return { ids, offsets: [...none(before), ...offsets, ...none(ids.length - before - own.length)] };
  }

  /** The text of ids. Ids without a token are left out, as transformers does. */
  decode(
    ids: readonly number[],
    { skipSpecialTokens = false }: { readonly skipSpecialTokens?: boolean } = {},
  ): string {
    const { engine, cleansUp } = this.#parts;
    const kept = ids.filter((id) => {
      const token = engine.id_to_token(id);
      return token !== undefined && !(skipSpecialTokens && this.#added.get(token)?.special === true);
    });
    if (kept.length === 0) return "";
    if (cleansUp) return engine.decode(kept, { clean_up_tokenization_spaces: true });
    const tokens = kept.map((id) => engine.id_to_token(id)!);
    if (engine.decoder === null) return tokens.join(" ");
    return engine.decoder.decode(this.#hasByteFallback ? mendByteRuns(tokens) : tokens);
  }

  /** A conversation as the text that the model sees. */
  renderChatTemplate(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    return this.#render(messages, options).text;
  }

  /**
   * A conversation as tokens. With `returnAssistantTokensMask` also which of them the assistant said: what stands between
   * the template's generation marks; without marks, what each of its turns adds to the text.
   *
   * @throws {@link CraftError} naming the template if there is none or it fails, or if it has no marks and earlier turns
   * read otherwise when others follow.
   */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatOptions = {}): ChatEncoding {
    const { returnAssistantTokensMask = false, ...rendering } = options;
    const { text, spans } = this.#render(messages, rendering);
    if (!returnAssistantTokensMask) return { ids: this.encode(text, { addSpecialTokens: false }) };
    if (rendering.continueFinalMessage === true) {
      throw new CraftError({
        subject: "returnAssistantTokensMask",
        value: true,
        reason: "there is no mask for a last message that goes on",
        remedy: "Leave continueFinalMessage out",
      });
    }
    const template = this.#template(rendering);
    const said = hasGenerationMarks(template)
      ? spans
      : spansByPrefix(
          messages,
          text,
          (start, addGenerationPrompt) => this.#render(start, { ...rendering, addGenerationPrompt }),
          template.name,
        );
    const { ids, offsets } = this.encodeWithOffsets(text, { addSpecialTokens: false });
    return { ids, assistantMask: maskOf(offsets, said) };
  }

  /** A conversation as tokens, in the form in which data preparation asks for it. */
  encodeChat(
    messages: readonly ChatMessage[],
    options: { readonly addGenerationPrompt?: boolean; readonly returnAssistantMask?: boolean } = {},
  ): ChatEncoding {
    const { addGenerationPrompt = false, returnAssistantMask = false } = options;
    return this.applyChatTemplate(messages, {
      addGenerationPrompt,
      returnAssistantTokensMask: returnAssistantMask,
    });
  }

  /**
   * @param modelVocabSize - how many tokens the model knows
   * @throws {@link CraftError} if the tokenizer has an id beyond that: it is not the model's.
   */
  checkFitsModel(modelVocabSize: number): void {
    for (const [token, id] of this.#parts.ids) {
      if (id < modelVocabSize) continue;
      throw new CraftError({
        subject: `tokenizer of ${this.#parts.folder}`,
        value: token,
        reason: `the token has id ${id}, but the model knows ${modelVocabSize} tokens only: they do not match`,
        remedy: "Use the tokenizer that belongs to the model, or a model with as many token embeddings",
      });
    }
  }

  /**
   * Writes the tokenizer's files into a folder, byte for byte as they were read.
   *
   * @throws {@link CraftError} if a file cannot be written.
   */
  async save(folder: string): Promise<void> {
    try {
      await mkdir(folder, { recursive: true });
      for (const [name, bytes] of this.#parts.files) {
        const partial = join(folder, `.${name}.partial`);
        await writeFile(partial, bytes);
        await rename(partial, join(folder, name));
      }
    } catch (cause) {
      const reason = `the tokenizer cannot be written there: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new CraftError({ subject: folder, reason, remedy: "Choose a folder that can be written", cause });
    }
  }

  #idOf(name: string): number | undefined {
    const token = this.#parts.namedTokens.get(name);
    return token === undefined ? undefined : this.#parts.ids.get(token);
  }

  /** How many special tokens come before a text. */
  #leadingSpecials(): number {
    const probe = "a";
    const own = this.encode(probe, { addSpecialTokens: false });
    const ids = this.encode(probe);
    for (let at = 0; at <= ids.length - own.length; at++) {
      if (own.every((id, index) => ids[at + index] === id)) return at;
    }
    return 0;
  }

  #piece(token: string, id: number): Piece {
    const added = this.#added.get(token);
    if (id === this.#unknownId) return { kind: "unknown", content: token };
    if (added !== undefined) return { kind: "added", content: token, strips: [added.lstrip, added.rstrip] };
    return { kind: "bytes", bytes: bytesOfToken(token, this.#isByteLevel) };
  }

  /** Lays tokens along the text, normalised part by part without what the normaliser puts before a text. */
  #align(text: string, pieces: readonly Piece[]): Offset[] {
    const { normalizer } = this.#parts.engine;
    const normal = (part: string) => normalizer?.(part) ?? part;
    const probe = normal("x");
    const prefix = probe.endsWith("x") ? probe.slice(0, -1) : "";
    const normalise = (part: string) => {
      const result = normal(part);
      const bare = result.startsWith(prefix) ? result.slice(prefix.length) : result;
      return this.#isByteLevel ? bare : bare.replaceAll("▁", " ");
    };
    return alignTokens(text, pieces, normalise, prefix !== "");
  }

  #render(messages: readonly ChatMessage[], options: RenderOptions): Rendered {
    const unknown = Object.keys(options).find((name) => !renderOptionNames.includes(name));
    if (unknown !== undefined) {
      const reason = `no such option; there are ${renderOptionNames.join(", ")}, returnAssistantTokensMask`;
      throw new CraftError({ subject: `chat template option ${unknown}`, reason });
    }
    return renderChat(
      this.#template(options),
      messages,
      options,
      Object.fromEntries(this.#parts.namedTokens),
    );
  }

  /** The template to use: as given, or the tokenizer's by its name, else the default or the one for tools. */
  #template({ chatTemplate, tools }: RenderOptions): NamedTemplate {
    const own = this.chatTemplate;
    const { folder } = this.#parts;
    if (typeof own === "object") {
      const fallback = tools !== undefined && Object.hasOwn(own, "tool_use") ? "tool_use" : "default";
      const name = chatTemplate ?? fallback;
      if (Object.hasOwn(own, name))
        return { name: `chat template "${name}" of ${folder}`, source: own[name]! };
    }
    if (chatTemplate !== undefined) return { name: "chatTemplate", source: chatTemplate };
    if (typeof own === "string") return { name: `chat template of ${folder}`, source: own };
    throw new CraftError({
      subject: `tokenizer of ${folder}`,
      reason:
        own === undefined
          ? "has no chat template"
          : `has no default chat template, only ${Object.keys(own).join(", ")}`,
      remedy: "Give one as chatTemplate",
    });
  }
}
