/** @file The text of one continuation, piece by piece. */
import { TextStream, type StreamTokenizer } from "../text/index.js";
import type { TokenGenerator } from "./generator.js";
import type { GenerateOptions, StopReason } from "./options.js";

export interface StreamTextOptions extends Omit<
  GenerateOptions,
  | "inputIds"
  | "tokenizer"
  | "onToken"
  | "numReturnSequences"
  | "logProbs"
  | "numBeams"
  | "lengthPenalty"
  | "earlyStopping"
> {
  /** Token ids of the prompt. */
  readonly inputIds: readonly number[];
  /** Leave special tokens out of the text. Default true. */
  readonly skipSpecialTokens?: boolean | undefined;
}

export interface StreamedText {
  /** The new tokens, with the one that ended them. */
  readonly tokens: readonly number[];
  readonly stopped: StopReason;
}

/**
 * Continues one prompt and yields its text as it comes: whole characters, never a part of one, and without the stop
 * string that ends it. Leave the loop to stop.
 *
 * @throws CraftError as {@link TokenGenerator.generate}.
 *
 * @example
 * for await (const piece of streamText(generator, tokenizer, { inputIds, maxNewTokens: 64 })) process.stdout.write(piece);
 */
export async function* streamText(
  generator: Pick<TokenGenerator, "stream">,
  tokenizer: StreamTokenizer,
  { inputIds, skipSpecialTokens = true, ...options }: StreamTextOptions,
): AsyncGenerator<string, StreamedText> {
  const text = new TextStream(tokenizer, { skipSpecialTokens, context: inputIds });
  const visible = new BeforeStop(options.stopStrings ?? []);
  const stream = generator.stream({ ...options, tokenizer, inputIds: [inputIds], numBeams: 1 });
  try {
    for (;;) {
      const { done, value } = await stream.next();
      const piece = visible.push(done === true ? text.end() : text.push(value.token));
      if (piece !== "") yield piece;
      if (done !== true) continue;
      const rest = visible.end();
      if (rest !== "") yield rest;
      return { tokens: value.sequences[0]!, stopped: value.stopped[0]! };
    }
  } finally {
    await stream.return({ sequences: [], stopped: [] });
  }
}

/** Lets text through up to a stop string, and holds back what may be the beginning of one. */
class BeforeStop {
  readonly #strings: readonly string[];
  #held = "";
  #ended = false;

  constructor(strings: readonly string[]) {
    this.#strings = strings;
  }

  push(piece: string): string {
    if (this.#ended) return "";
    const text = this.#held + piece;
    const places = this.#strings.map((string) => text.indexOf(string)).filter((at) => at >= 0);
    this.#ended = places.length > 0;
    const end = this.#ended ? Math.min(...places) : this.#beginning(text);
    this.#held = this.#ended ? "" : text.slice(end);
    return text.slice(0, end);
  }

  /** What turned out to be no stop string. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** Where the longest end of the text begins that a stop string begins with. */
  #beginning(text: string): number {
    for (let at = 0; at < text.length; at++)
      if (this.#strings.some((string) => string.startsWith(text.slice(at)))) return at;
    return text.length;
  }
}
