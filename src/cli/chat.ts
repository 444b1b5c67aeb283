/** @file A conversation with a model, line by line. */
import type { EventEmitter } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { CraftError } from "../errors.js";
import { streamText, type TokenGenerator } from "../generation/index.js";
import type { CausalLM } from "../models/index.js";
import type { ChatMessage, Tokenizer } from "../text/index.js";
import type { generationOptions } from "./generation_flags.js";

export interface ChatParts {
  readonly model: Pick<CausalLM, "shape" | "generationConfig">;
  readonly tokenizer: Tokenizer;
  readonly generator: Pick<TokenGenerator, "stream">;
  readonly settings: ReturnType<typeof generationOptions>;
  readonly system: string | undefined;
}

/** Most tokens of an answer where neither the user nor the model says, as far as the model's positions reach. */
const longestAnswer = 512;

const help =
  "Each line is a message. /clear forgets the conversation, /exit leaves; Ctrl-C stops an answer.\n";

/** Reads messages, and writes answers as they are made. */
export class Chat {
  readonly #parts: ChatParts;
  readonly #system: readonly ChatMessage[];
  #messages: readonly ChatMessage[] = [];
  /** Whether Ctrl-C came since the last message. */
  #interrupted = false;
  #answering = false;

  constructor(parts: ChatParts) {
    this.#parts = parts;
    this.#system = parts.system === undefined ? [] : [{ role: "system", content: parts.system }];
  }

  /** Until the input ends, `/exit`, or a second Ctrl-C. Returns the exit code: 0, or 130 after Ctrl-C. */
  async run(
    input: Readable,
    output: Writable,
    errors: Writable,
    signals: EventEmitter = process,
  ): Promise<number> {
    const isTerminal = "isTTY" in input && input.isTTY === true;
    const lines = createInterface({
      input,
      output: errors,
      terminal: isTerminal,
      prompt: isTerminal ? "> " : "",
    });
    let left = false;
    const interrupt = (): void => {
      if (this.#interrupted) {
        left = true;
        lines.close();
        return;
      }
      this.#interrupted = true;
      if (!this.#answering) errors.write("\nPress Ctrl-C again to leave.\n");
      if (!this.#answering && isTerminal) lines.prompt();
    };
    lines.on("SIGINT", interrupt);
    signals.on("SIGINT", interrupt);
    try {
      if (isTerminal) errors.write(help);
      if (isTerminal) lines.prompt();
      for await (const line of lines) {
        if (left || line.trim() === "/exit") break;
        this.#interrupted = false;
        if (line.trim() === "/clear") this.#messages = [];
        else if (line.trim() !== "") await this.#answer(line, output, errors, () => left);
        if (isTerminal && !left) lines.prompt();
      }
      return left ? 130 : 0;
    } finally {
      signals.off("SIGINT", interrupt);
      lines.close();
    }
  }

  /** A message that cannot be answered is told, and is no part of the conversation. */
  async #answer(text: string, output: Writable, errors: Writable, left: () => boolean): Promise<void> {
    const messages = [...this.#messages, { role: "user", content: text }];
    let answer = "";
    this.#answering = true;
    try {
      for await (const piece of this.#pieces(messages)) {
        answer += piece;
        output.write(piece);
        if (this.#interrupted || left()) break;
      }
      output.write("\n");
      this.#messages = [...messages, { role: "assistant", content: answer }];
    } catch (error) {
      if (!(error instanceof CraftError)) throw error;
      errors.write(`error: ${error.message}\n`);
    } finally {
      this.#answering = false;
    }
  }

  #pieces(messages: readonly ChatMessage[]): AsyncGenerator<string> {
    const { model, tokenizer, generator, settings } = this.#parts;
    const inputIds = tokenizer.applyChatTemplate([...this.#system, ...messages], {
      addGenerationPrompt: true,
    });
    const room = model.shape.maxLength - inputIds.length;
    if (room < 1)
      throw new CraftError({
        subject: "conversation",
        value: `${inputIds.length} tokens`,
        reason: `leaves no room for an answer in the ${model.shape.maxLength} positions of the model`,
        remedy: "Forget it with /clear.",
      });
    const maxNewTokens =
      settings.maxNewTokens ?? Math.min(model.generationConfig?.maxNewTokens ?? longestAnswer, room);
    return streamText(generator, tokenizer, { ...settings, inputIds, maxNewTokens });
  }
}
