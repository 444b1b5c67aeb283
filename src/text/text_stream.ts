/** What a {@link TextStream} needs of a tokenizer. */
interface Decoding {
  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string;
  readonly specialTokenIds: ReadonlySet<number>;
}

/**
 * Text from tokens as they are generated. What it gives out is never taken back: bytes wait until their
 * character is complete. The pieces together are `decode` of all ids, unless byte tokens form no valid UTF-8.
 *
 * @example
 * const stream = new TextStream(tokenizer);
 * for (const id of ids) process.stdout.write(stream.push(id));
 * process.stdout.write(stream.end());
 */
export class TextStream {
  private readonly tokenizer: Decoding;
  private readonly skipSpecialTokens: boolean;
  /** The tokens of the last piece, which may change how the next ones decode (spaces), and those not yet given out. */
  private ids: number[] = [];
  private given = 0;

  constructor(tokenizer: Decoding, options: { skipSpecialTokens?: boolean } = {}) {
    this.tokenizer = tokenizer;
    this.skipSpecialTokens = options.skipSpecialTokens ?? true;
  }

  /** The text that this token completes: often a word, sometimes nothing. */
  push(id: number): string {
    if (this.skipSpecialTokens && this.tokenizer.specialTokenIds.has(id)) return "";
    this.ids.push(id);
    const text = this.decode(this.ids);
    // A replacement character at the end is, as a rule, a character whose last bytes are still to come.
    if (text.endsWith("\ufffd")) return "";
    return this.take(text);
  }

  /** Whatever is left, complete or not. */
  end(): string {
    const rest = this.take(this.decode(this.ids));
    this.ids = [];
    this.given = 0;
    return rest;
  }

  private take(text: string): string {
    const known = this.decode(this.ids.slice(0, this.given));
    this.ids = this.ids.slice(this.given);
    this.given = this.ids.length;
    return text.slice(known.length);
  }

  private decode(ids: readonly number[]): string {
    return this.tokenizer.decode(ids, { skipSpecialTokens: this.skipSpecialTokens });
  }
}
