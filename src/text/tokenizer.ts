import { CraftError } from "../errors.js";
import type { MarkedText } from "./assistant_mask.js";
import { markedSpans, maskOf, prefixSpans } from "./assistant_mask.js";
import type { ChatMessage, ChatTemplate, RenderChatOptions } from "./chat_template.js";
import { renderOpenEnded } from "./chat_template.js";
import { ChatTemplates } from "./chat_templates.js";
import { cleanUp } from "./encoding/decoders.js";
import type { Encoding } from "./encoding/pipeline.js";
import { Pipeline } from "./encoding/pipeline.js";
import type { TokenizerConfig } from "./tokenizer_config.js";
import { readTokenizerConfig } from "./tokenizer_config.js";
import type { TokenizerFiles } from "./tokenizer_files.js";
import { writeTokenizerFiles } from "./tokenizer_files.js";

export interface EncodeOptions {
  /** Whether to add what the tokenizer puts around a text by default, such as BOS. Default: true. */
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leaves out special tokens. Default: false. */
  readonly skipSpecialTokens?: boolean;
  /** Takes back spaces before punctuation. As in transformers it does nothing to BPE tokenizers. */
  readonly cleanUpTokenizationSpaces?: boolean;
}

export interface ChatTemplateOptions extends RenderChatOptions {
  /** false returns the text. Default: true. */
  readonly tokenize?: boolean;
  /** Also tells which tokens the assistant generates. Default: false. */
  readonly returnAssistantTokensMask?: boolean;
}

/** A chat as tokens; `assistantMask` is 1 for each token that the assistant generates, else 0. */
export interface MaskedChat {
  readonly inputIds: number[];
  readonly assistantMask: number[];
}

/** What a tokenizer is made from: the contents of the files in a model folder. */
export interface TokenizerSource {
  /** tokenizer.json */
  readonly tokenizerJson: unknown;
  /** tokenizer_config.json */
  readonly config?: unknown;
  /** special_tokens_map.json */
  readonly specialTokensMap?: unknown;
  /** added_tokens.json */
  readonly addedTokens?: unknown;
  /** Templates from files of their own, by name; they win over those in the config. */
  readonly chatTemplates?: ReadonlyMap<string, string>;
  /** What `save` writes, byte for byte, by file name. */
  readonly files?: TokenizerFiles;
  /** Where it came from, for messages. */
  readonly name?: string;
}

/** Turns text into token ids and back, and chats into text, as the model's Python tokenizer does. */
export class Tokenizer {
  /** The longest input that the tokenizer's config allows, in tokens; Infinity where it states none. */
  readonly modelMaxLength: number;
  private readonly pipeline: Pipeline;
  private readonly config: TokenizerConfig;
  private readonly templates: ChatTemplates;
  private readonly files: TokenizerFiles;
  private readonly name: string;

  /** @throws CraftError if a file has a part that is missing, damaged or not supported */
  constructor(source: TokenizerSource) {
    this.name = source.name ?? "the tokenizer";
    this.config = readTokenizerConfig(source, this.name);
    const file = `tokenizer.json in ${this.name}`;
    this.pipeline = new Pipeline(source.tokenizerJson, file, this.config.splitSpecialTokens);
    this.modelMaxLength = this.config.modelMaxLength;
    const templates = source.chatTemplates?.size ? source.chatTemplates : this.config.chatTemplates;
    this.templates = new ChatTemplates(templates, this.name);
    this.files = source.files ?? filesOf(source);
    this.addMissingTokens();
  }

  /** Tokens that the config lists, or gives a role, are added tokens even where tokenizer.json does not say so. */
  private addMissingTokens(): void {
    this.pipeline.add(this.config.added);
    const withRole = [...this.config.named.values(), ...this.config.extra];
    this.pipeline.add(withRole.filter(({ content }) => this.pipeline.addedToken(content) === undefined));
  }

  /** Token ids of a text. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    return this.pipeline.encode(text, options.addSpecialTokens ?? true);
  }

  /**
   * Token ids of a text, and for each token the UTF-16 units [start, end) of the text it stands for. Tokens that are
   * part of one character all have the span of that character; special tokens around the text have [0, 0].
   * White space at the edge of a token belongs to it, whatever the tokenizer's `trim_offsets` says.
   */
  encodeWithOffsets(text: string, options: EncodeOptions = {}): Encoding {
    return this.pipeline.encodeWithOffsets(text, options.addSpecialTokens ?? true);
  }

  /** The text of token ids. Ids that the tokenizer has no token for give nothing, as in transformers. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const text = this.pipeline.decode([...ids], options.skipSpecialTokens ?? false);
    const cleans = options.cleanUpTokenizationSpaces ?? this.config.cleanUpSpaces;
    const applies = this.pipeline.modelType !== "BPE" || this.config.cleanUpSpacesForBpe;
    return cleans && applies ? cleanUp(text) : text;
  }

  /** How many tokens there are, added ones included: `len(tokenizer)` in Python. */
  get vocabSize(): number {
    return this.pipeline.vocabSize;
  }

  tokenToId(token: string): number | undefined {
    return this.pipeline.tokenToId(token);
  }

  idToToken(id: number): string | undefined {
    return this.pipeline.idToToken(id);
  }

  get bosToken(): string | undefined {
    return this.tokenWithRole("bos_token");
  }
  get eosToken(): string | undefined {
    return this.tokenWithRole("eos_token");
  }
  get padToken(): string | undefined {
    return this.tokenWithRole("pad_token");
  }
  get unkToken(): string | undefined {
    return this.tokenWithRole("unk_token");
  }
  get bosTokenId(): number | undefined {
    return this.idWithRole("bos_token");
  }
  get eosTokenId(): number | undefined {
    return this.idWithRole("eos_token");
  }
  get padTokenId(): number | undefined {
    return this.idWithRole("pad_token");
  }
  get unkTokenId(): number | undefined {
    return this.idWithRole("unk_token");
  }

  private tokenWithRole(role: string): string | undefined {
    return this.config.named.get(role)?.content;
  }

  private idWithRole(role: string): number | undefined {
    const token = this.tokenWithRole(role);
    return token === undefined ? undefined : this.tokenToId(token);
  }

  /** Ids of the tokens with a role (BOS, EOS, …) and of the config's extra special tokens. */
  get allSpecialIds(): number[] {
    const contents = [...this.config.named.values(), ...this.config.extra].map((token) => token.content);
    return [...new Set(contents)].flatMap((content) => this.tokenToId(content) ?? []);
  }

  /** Ids of every token that `decode` leaves out with `skipSpecialTokens`. */
  get specialTokenIds(): ReadonlySet<number> {
    return this.pipeline.specialIds;
  }

  /** The text of the model's default chat template. */
  get chatTemplate(): string | undefined {
    return this.templates.default;
  }

  /** @throws CraftError if the tokenizer has ids that the model has no row for */
  checkFitsModel(modelVocabSize: number): void {
    const largest = this.pipeline.largestId;
    if (largest < modelVocabSize) return;
    throw new CraftError({
      subject: `the tokenizer of ${this.name}`,
      reason:
        `it is a tokenizer that does not match the model: token ${JSON.stringify(this.idToToken(largest))} has id ` +
        `${largest}, and the model's vocabulary has ${modelVocabSize} rows (ids 0 to ${modelVocabSize - 1})`,
      remedy: "Use the tokenizer that the model was trained with, or resize the model's embeddings",
    });
  }

  /**
   * A chat by the model's template: token ids, the text with `tokenize: false`, or ids and mask with
   * `returnAssistantTokensMask: true`. The mask follows the template's `{% generation %}` blocks; where it has none,
   * an assistant turn is what it adds behind the generation prompt.
   * @throws CraftError if there is no template, it refuses the chat, or the mask cannot be told
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
    if (messages.length === 0) {
      throw new CraftError({
        subject: "messages",
        reason: "the chat is empty",
        remedy: "Give at least one message",
      });
    }
    const template = this.templates.select(options);
    const { returnAssistantTokensMask = false, tokenize = true } = options;
    if (returnAssistantTokensMask) return this.masked(template, messages, options);
    const text = this.render(template, messages, options);
    return tokenize ? this.encode(text, { addSpecialTokens: false }) : text;
  }

  private render(
    template: ChatTemplate,
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions,
  ): string {
    const { continueFinalMessage = false, addGenerationPrompt = false } = options;
    if (continueFinalMessage === false) return template.render(messages, options, this.specialTokens());
    if (addGenerationPrompt) {
      throw new CraftError({
        subject: "continueFinalMessage",
        reason:
          "it cannot be combined with addGenerationPrompt: one goes on with the last turn, the other opens a new one",
      });
    }
    return renderOpenEnded(template, messages, options, this.specialTokens());
  }

  private masked(
    template: ChatTemplate,
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions,
  ): MaskedChat {
    const { continueFinalMessage = false, tokenize = true } = options;
    if (continueFinalMessage !== false || !tokenize) {
      const other = tokenize ? "continueFinalMessage" : "tokenize: false";
      throw new CraftError({
        subject: "returnAssistantTokensMask",
        reason: `it cannot be combined with ${other}`,
      });
    }
    const { text, spans } = this.spans(template, messages, options);
    const { ids, offsets } = this.encodeWithOffsets(text, { addSpecialTokens: false });
    return { inputIds: ids, assistantMask: maskOf(offsets, spans) };
  }

  private spans(
    template: ChatTemplate,
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions,
  ): MarkedText {
    const tokens = this.specialTokens();
    if (template.hasGeneration) {
      return markedSpans((marks) => template.render(messages, options, tokens, marks));
    }
    return prefixSpans(messages, options.addGenerationPrompt ?? false, (part, addGenerationPrompt) => {
      return template.render(part, { ...options, addGenerationPrompt }, tokens);
    });
  }

  private specialTokens(): Record<string, string> {
    return Object.fromEntries([...this.config.named].map(([role, token]) => [role, token.content]));
  }

  /**
   * Writes the files it was read from, byte for byte; each appears whole or not at all.
   * @throws CraftError if the folder cannot be written to
   */
  async save(folder: string): Promise<void> {
    await writeTokenizerFiles(folder, this.files);
  }
}

/** The files that a tokenizer made in memory would have. */
function filesOf(source: TokenizerSource): Map<string, Uint8Array> {
  const json = (value: unknown) => new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`);
  const files = new Map([["tokenizer.json", json(source.tokenizerJson)]]);
  if (source.config !== undefined) files.set("tokenizer_config.json", json(source.config));
  if (source.specialTokensMap !== undefined)
    files.set("special_tokens_map.json", json(source.specialTokensMap));
  if (source.addedTokens !== undefined) files.set("added_tokens.json", json(source.addedTokens));
  for (const [name, template] of source.chatTemplates ?? []) {
    const file = name === "default" ? "chat_template.jinja" : `additional_chat_templates/${name}.jinja`;
    files.set(file, new TextEncoder().encode(template));
  }
  return files;
}
