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
import { hasType, openEngine, part, type AddedToken, type Engine } from "./engine.js";
import { alignTokens, type Offset, type Piece } from "./offsets.js";
import { bytesOfToken, mendByteRuns } from "./token_bytes.js";
import { readSettings, type Settings, type TokenizerSource } from "./tokenizer_config.js";

export interface EncodeOptions {
  /** Add the special tokens that the model wants around a text. Default true. */
  readonly addSpecialTokens?: boolean;
}

export interface ChatTemplateOptions extends RenderOptions {
  /** Give tokens; otherwise the text. Default true. */
  readonly tokenize?: boolean;
  /** Tell which tokens the assistant said. Default false. */
  readonly returnAssistantTokensMask?: boolean;
}

/** A conversation as tokens; the mask has 1 for each token that the assistant said, 0 for others. */
export interface MaskedChat {
  readonly inputIds: number[];
  readonly assistantMask: number[];
}

/**
 * Turns text into token ids and back, as transformers' fast tokenizers do. See {@link AutoTokenizer} for reading one.
 *
 * @example
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
  readonly bosToken: string | undefined;
  readonly bosTokenId: number | undefined;
  readonly eosToken: string | undefined;
  readonly eosTokenId: number | undefined;
  readonly padToken: string | undefined;
  readonly padTokenId: number | undefined;
  readonly unkToken: string | undefined;
  readonly unkTokenId: number | undefined;
  readonly #source: TokenizerSource;
  readonly #name: string;
  readonly #settings: Settings;
  readonly #engine: Engine;
  readonly #added: ReadonlyMap<string, AddedToken>;
  readonly #isByteLevel: boolean;
  /** Whether the vocabulary writes spaces as U+2581. */
  readonly #marksSpaces: boolean;
  readonly #hasByteFallback: boolean;
  /** What the model gives for text that its vocabulary lacks. */
  readonly #unknownId: number | undefined;

  /** @throws {@link CraftError} naming the tokenizer and its file if they cannot be used. */
  constructor(source: TokenizerSource) {
    this.#source = source;
    this.#name = source.name ?? "tokenizer";
    const settings = readSettings(source, this.#name);
    const { json, ids, named, chatTemplates } = settings;
    this.#settings = settings;
    this.#engine = openEngine(json, named.get("eos_token"), this.#name);
    this.#added = new Map(settings.addedTokens.map((token) => [token.content, token]));
    this.#isByteLevel = hasType(json["pre_tokenizer"], "ByteLevel") || hasType(json["decoder"], "ByteLevel");
    const steps = [json["normalizer"], json["pre_tokenizer"], json["decoder"]];
    this.#marksSpaces = !this.#isByteLevel && JSON.stringify(steps).includes("▁");
    this.#hasByteFallback = hasType(json["decoder"], "ByteFallback");
    const { unk_token: token, unk_id: id } = part(json["model"]) as { unk_token?: unknown; unk_id?: unknown };
    this.#unknownId = typeof token === "string" ? ids.get(token) : typeof id === "number" ? id : undefined;

    this.vocabSize = ids.size;
    this.allSpecialIds = settings.allSpecialIds;
    this.modelMaxLength = settings.modelMaxLength;
    const only = chatTemplates.size < 2 ? chatTemplates.get("default") : undefined;
    this.chatTemplate = only ?? (chatTemplates.size === 0 ? undefined : Object.fromEntries(chatTemplates));
    const idOf = (role: string) => ids.get(named.get(role) ?? "");
    [this.bosToken, this.bosTokenId] = [named.get("bos_token"), idOf("bos_token")];
    [this.eosToken, this.eosTokenId] = [named.get("eos_token"), idOf("eos_token")];
    [this.padToken, this.padTokenId] = [named.get("pad_token"), idOf("pad_token")];
    [this.unkToken, this.unkTokenId] = [named.get("unk_token"), idOf("unk_token")];
  }

  /** The token of an id; undefined for an id that has none. */
  idToToken(id: number): string | undefined {
    return this.#engine.id_to_token(id);
  }

  /** The id of a token, which is no text: bytes and spaces are written as the vocabulary writes them. */
  tokenToId(token: string): number | undefined {
    return this.#settings.ids.get(token);
  }

  /**
   * The ids of a text. Special tokens written in the text are taken as such, and half a surrogate pair as U+FFFD, which
   * is how it is written in UTF-8.
   */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    return this.#engine.encode(wellFormed(text), { add_special_tokens: addSpecialTokens }).ids;
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
    const read = wellFormed(text);
    const { ids: own, tokens } = this.#engine.encode(read, { add_special_tokens: false });
    const pieces = tokens.map((token, index) => this.#piece(token, own[index]!));
    const offsets = this.#align(read, pieces);
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
    const engine = this.#engine;
    const kept = ids.filter((id) => {
      const token = engine.id_to_token(id);
      return token !== undefined && !(skipSpecialTokens && this.#added.get(token)?.special === true);
    });
    if (kept.length === 0) return "";
    if (this.#settings.cleansUp) return engine.decode(kept, { clean_up_tokenization_spaces: true });
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
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions & { tokenize: false },
  ): string;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions & { returnAssistantTokensMask: true },
  ): MaskedChat;
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: ChatTemplateOptions & { tokenize?: true; returnAssistantTokensMask?: false },
  ): number[];
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions = {},
  ): number[] | string | MaskedChat {
    const { tokenize = true, returnAssistantTokensMask = false, ...rendering } = options;
    const { text, spans } = this.#render(messages, rendering);
    if (!returnAssistantTokensMask) return tokenize ? this.encode(text, { addSpecialTokens: false }) : text;
    if (!tokenize || (rendering.continueFinalMessage ?? false) !== false) {
      throw new CraftError({
        subject: "returnAssistantTokensMask",
        value: true,
        reason: "there is no mask without tokens, nor for a last message that goes on",
        remedy: "Leave tokenize and continueFinalMessage out",
      });
    }
    const template = this.#template(rendering);
    const renderPart = (start: readonly ChatMessage[], addGenerationPrompt: boolean) =>
      this.#render(start, { ...rendering, addGenerationPrompt }).text;
    const said = hasGenerationMarks(template)
      ? spans
      : spansByPrefix(messages, text, renderPart, template.name);
    const { ids, offsets } = this.encodeWithOffsets(text, { addSpecialTokens: false });
    return { inputIds: ids, assistantMask: maskOf(offsets, said) };
  }

  /**
   * @param modelVocabSize - how many tokens the model knows
   * @throws {@link CraftError} if the tokenizer has an id beyond that: it is not the model's.
   */
  checkFitsModel(modelVocabSize: number): void {
    for (const [token, id] of this.#settings.ids) {
      if (id < modelVocabSize) continue;
      throw new CraftError({
        subject: `${this.#name}`,
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
      for (const [name, content] of this.#source.files ?? filesOf(this.#source)) {
        const partial = join(folder, `.${name}.partial`);
        await writeFile(partial, content);
        await rename(partial, join(folder, name));
      }
    } catch (cause) {
      const reason = `the tokenizer cannot be written there: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new CraftError({ subject: folder, reason, remedy: "Choose a folder that can be written", cause });
    }
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
    if (id === this.#unknownId && token === this.idToToken(id)) return { kind: "unknown", content: token };
    const bytes = bytesOfToken(this.#spaced(token), this.#isByteLevel);
    if (added === undefined) return { kind: "bytes", bytes };
    return { kind: "added", content: token, strips: [added.lstrip, added.rstrip], bytes };
  }

  #spaced(text: string): string {
    return this.#marksSpaces ? text.replaceAll("▁", " ") : text;
  }

  /** Lays tokens along the text, normalised part by part without what the normaliser puts before a text. */
  #align(text: string, pieces: readonly Piece[]): Offset[] {
    const { normalizer } = this.#engine;
    const normal = (part: string) => normalizer?.(part) ?? part;
    const probe = normal("x");
    const prefix = probe.endsWith("x") ? probe.slice(0, -1) : "";
    const normalise = (part: string) => {
      const result = normal(part);
      const bare = result.startsWith(prefix) ? result.slice(prefix.length) : result;
      return this.#spaced(bare);
    };
    return alignTokens(text, pieces, normalise, prefix !== "");
  }

  #render(messages: readonly ChatMessage[], options: RenderOptions): Rendered {
    return renderChat(this.#template(options), messages, options, Object.fromEntries(this.#settings.named));
  }

  /** The template to use: as given, or the tokenizer's by its name, else the one for tools or the default. */
  #template({ chatTemplate, tools }: RenderOptions): NamedTemplate {
    const own = this.#settings.chatTemplates;
    const title = chatTemplate ?? (tools !== undefined && own.has("tool_use") ? "tool_use" : "default");
    const source = own.get(title);
    if (source !== undefined) return { name: `${this.#name}, chat template "${title}"`, source };
    if (chatTemplate !== undefined) return { name: "chatTemplate", source: chatTemplate };
    const others = own.size === 0 ? "" : `, only ${[...own.keys()].join(", ")}`;
    throw new CraftError({
      subject: this.#name,
      reason: `has no default chat template${others}`,
      remedy: "Give one as chatTemplate",
    });
  }
}

/** Halves of surrogate pairs that stand alone as U+FFFD, which is as long. */
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd");

function filesOf({
  tokenizerJson,
  config,
  specialTokensMap,
  chatTemplates,
}: TokenizerSource): [string, string][] {
  const contents = {
    "tokenizer.json": tokenizerJson,
    "tokenizer_config.json": config,
    "special_tokens_map.json": specialTokensMap,
  };
  const files = Object.entries(contents)
    .filter(([, content]) => content !== undefined)
    .map(([name, content]): [string, string] => [name, `${JSON.stringify(content, undefined, 2)}\n`]);
  const template = chatTemplates?.get("default");
  return template === undefined ? files : [...files, ["chat_template.jinja", template]];
}
