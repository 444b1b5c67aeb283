/** @file Texts that end a row. */
import { TextStream, type StreamTokenizer } from "../text/index.js";

/** Looks for stop strings in the text of one row's continuation, token by token. */
export class StopText {
  readonly #stream: TextStream;
  readonly #strings: readonly string[];
  /** As much of the text so far as a stop string may begin in. */
  #tail = "";
  readonly #tailLength: number;

  constructor(tokenizer: StreamTokenizer, strings: readonly string[], prompt: readonly number[]) {
    this.#stream = new TextStream(tokenizer, { skipSpecialTokens: false, context: prompt });
    this.#strings = strings;
    this.#tailLength = Math.max(...strings.map(({ length }) => length)) - 1;
  }

  /** Whether the text has a stop string with this token. */
  push(token: number): boolean {
    const text = this.#tail + this.#stream.push(token);
    this.#tail = this.#tailLength === 0 ? "" : text.slice(-this.#tailLength);
    return this.#strings.some((string) => text.includes(string));
  }
}
