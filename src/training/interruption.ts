/** @file Ctrl-C and other ways to stop a run from outside. */
import { CraftError } from "../errors.js";

/**
 * What stopped a run: a signal of the operating system, an AbortSignal, or a failure of something outside that it cannot
 * go on without, such as rewards.
 */
export type InterruptionCause = "SIGINT" | "SIGTERM" | "abort" | "failure";

/** A run was stopped from outside. All that it did up to its last step is in {@link checkpoint}. */
export class TrainingInterrupted extends CraftError {
  override readonly name = "TrainingInterrupted";
  readonly signal: InterruptionCause;
  /** The folder to resume from. */
  readonly checkpoint: string;
  readonly step: number;

  constructor(signal: InterruptionCause, checkpoint: string, step: number, cause?: unknown) {
    super({
      subject: "training",
      value: signal,
      reason: `was stopped after step ${step}, and all of it is in ${checkpoint}${because(signal, cause)}`,
      remedy: "Go on with resume_from_checkpoint: true (--resume).",
      cause,
    });
    this.signal = signal;
    this.checkpoint = checkpoint;
    this.step = step;
  }
}

const because = (signal: InterruptionCause, cause: unknown): string =>
  signal === "failure" && cause instanceof Error ? `; ${cause.message}` : "";

/** Thrown to leave the work at hand; the loop turns it into {@link TrainingInterrupted}. */
export class Stopped extends Error {
  readonly signal: InterruptionCause;
  override readonly cause: unknown;

  constructor(signal: InterruptionCause, cause?: unknown) {
    super("stopped");
    this.signal = signal;
    this.cause = cause;
  }
}

const signals = ["SIGINT", "SIGTERM"] as const;

export interface InterruptionOptions {
  /** Listen for SIGINT and SIGTERM. */
  readonly handleSignals: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Told at once when a signal comes, while the work at hand is still running. */
  readonly onSignal?: (signal: InterruptionCause) => void;
}

/**
 * Watches for requests to stop, while it is open also by signals of the operating system. After the first one
 * the process has its former handlers back, so that a second one ends it at once, even while native code runs.
 */
export class Interruption {
  readonly #options: InterruptionOptions;
  #caught: InterruptionCause | undefined;
  readonly #handler = (signal: NodeJS.Signals): void => {
    this.close();
    this.#caught = signal === "SIGTERM" ? "SIGTERM" : "SIGINT";
    this.#options.onSignal?.(this.#caught);
  };

  constructor(options: InterruptionOptions) {
    this.#options = options;
  }

  /** Starts to listen. */
  open(): void {
    if (this.#options.handleSignals) for (const name of signals) process.on(name, this.#handler);
  }

  /** Stops listening. */
  close(): void {
    for (const name of signals) process.off(name, this.#handler);
  }

  /** Called wherever a run can stop. @throws Stopped after a request to stop. */
  check(): void {
    const { signal } = this.#options;
    if (this.#caught !== undefined) throw new Stopped(this.#caught);
    if (signal?.aborted === true) throw new Stopped("abort", signal.reason);
  }
}
