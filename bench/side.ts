/** @file A side of the benchmark as a child process, and what it says. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { z } from "zod";
import { CraftError } from "../src/errors.js";
import {
  doneMessage,
  onceMessage,
  readyMessage,
  stepMessage,
  type OnceMessage,
  type ReadyMessage,
  type StepMessage,
} from "./messages.js";

/** What is run for a side. */
export interface SideSpec {
  /** `ours`, or a peer's name. */
  readonly name: string;
  /** As tables show it. */
  readonly label: string;
  readonly command: string;
  readonly args: readonly string[];
}

/** The end of what a process wrote to stderr is kept for the error message. */
const keptErrorCharacters = 2000;

/** A running process that answers each command with one line. */
class Conversation {
  readonly #spec: SideSpec;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = "";

  constructor(spec: SideSpec, extra: readonly string[] = []) {
    this.#spec = spec;
    const child = spawn(spec.command, [...spec.args, ...extra], { stdio: ["pipe", "pipe", "pipe"] });
    child.on("error", (error) => (this.#errors += error.message));
    // A process that has ended is noticed when its answer is missing.
    child.stdin.on("error", () => undefined);
    child.stderr.on("data", (text: Buffer) => {
      this.#errors = (this.#errors + text.toString()).slice(-keptErrorCharacters);
    });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  send(command: string): void {
    this.#child.stdin!.write(`${command}\n`);
  }

  async receive<Message>(schema: z.ZodType<Message>): Promise<Message> {
    const line = await this.#lines.next();
    if (line.done === true) {
      throw new CraftError({
        subject: this.#spec.label,
        reason: `ended without an answer. It wrote last:\n${this.#errors.trim()}\n`,
      });
    }
    return schema.parse(JSON.parse(line.value));
  }

  /** Ends the process if it has not ended by itself, and waits for that. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.stdin!.end();
    const patience = setTimeout(() => this.#child.kill(), 10_000);
    await ended;
    clearTimeout(patience);
  }
}

/** A side that is ready for steps. */
export class Side {
  readonly spec: SideSpec;
  readonly facts: ReadyMessage;
  readonly #conversation: Conversation;

  private constructor(spec: SideSpec, facts: ReadyMessage, conversation: Conversation) {
    this.spec = spec;
    this.facts = facts;
    this.#conversation = conversation;
  }

  /** Starts the process and waits until it is ready for its first step. */
  static async start(spec: SideSpec): Promise<Side> {
    const conversation = new Conversation(spec);
    try {
      return new Side(spec, await conversation.receive(readyMessage), conversation);
    } catch (error) {
      await conversation.close();
      throw error;
    }
  }

  async step(): Promise<StepMessage> {
    this.#conversation.send("step");
    return this.#conversation.receive(stepMessage);
  }

  /** Ends the side. @returns its largest resident size in bytes */
  async quit(): Promise<number> {
    this.#conversation.send("quit");
    const { peak_rss_bytes } = await this.#conversation.receive(doneMessage);
    await this.close();
    return peak_rss_bytes;
  }

  close(): Promise<void> {
    return this.#conversation.close();
  }
}

/** Seconds from the start of a new process to its first finished step, by this process's clock, and what it said. */
export async function runOnce(
  spec: SideSpec,
): Promise<{ readonly seconds: number; readonly message: OnceMessage }> {
  const began = performance.now();
  const conversation = new Conversation(spec, ["--once"]);
  try {
    const message = await conversation.receive(onceMessage);
    return { seconds: (performance.now() - began) / 1000, message };
  } finally {
    await conversation.close();
  }
}
