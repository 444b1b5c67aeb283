/** @file Text of tokens that come one by one. */

/** What streaming asks of a tokenizer. */
export interface StreamTokenizer {
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
}

export interface TextStreamOptions {
  /** Leave special tokens out. Default true. */
  readonly skipSpecialTokens?: boolean;
  /** Tokens that come before the first one, such as the prompt; without them the first one starts a text. */
  readonly context?: readonly number[];
}

/** How many tokens of the context matter to those that follow. */
const contextLength = 8;

/**
 * Turns tokens into text as they come, and never shows half a character: text is held back until its UTF-8 is complete.
 * All pieces together are the text of all tokens. Only where byte tokens of a byte-fallback model end in bytes that are
 * no UTF-8, what was complete before them has been given out already, while decoding all at once marks it as broken too.
 *
 * @example
 * const stream = new TextStream(tokenizer);
 * for (const id of ids) process.stdout.write(stream.push(id));
 * process.stdout.write(stream.end());
 */
export class TextStream {
  readonly #tokenizer: StreamTokenizer;
  readonly #skipSpecialTokens: boolean;
  /** The tokens given out last, which decide how the next ones read, then those held back. */
  #window: number[];
  /** How many of the window have been given out. */
  #given: number;

  constructor(
    tokenizer: StreamTokenizer,
    { skipSpecialTokens = true, context = [] }: TextStreamOptions = {},
  ) {
    this.#tokenizer = tokenizer;
    this.#skipSpecialTokens = skipSpecialTokens;
    this.#window = context.slice(-contextLength);
    this.#given = this.#window.length;
  }

  /** The text that became complete with a token; often none. */
  push(id: number): string {
    this.#window.push(id);
    const text = this.#held();
    if (text === "" || text.endsWith("\ufffd")) return "";
    this.#window = this.#window.slice(this.#given);
    this.#given = this.#window.length;
    return text;
  }

  /** What is still held back, with U+FFFD for bytes that are no text. The stream then begins anew. */
  end(): string {
    const text = this.#held();
    this.#window = [];
    this.#given = 0;
    return text;
  }

  #held(): string {
    const options = { skipSpecialTokens: this.#skipSpecialTokens };
    const before = this.#tokenizer.decode(this.#window.slice(0, this.#given), options);
    return this.#tokenizer.decode(this.#window, options).slice(before.length);
  }
}
