/** @file Where a run reports: log.jsonl, and the console. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../models/atomic_file.js";
import type { LogEntry, RunPlace, StepEnd, TrainerCallback, TrainerState } from "./callbacks.js";

/**
 * Appends entries to `log.jsonl`, one JSON object a line. A run that goes on from a checkpoint begins with the entries
 * that the checkpoint knows; those of steps that it does again, and a line that was cut off, are gone.
 */
export class JsonlLog implements TrainerCallback {
  readonly path: string;

  constructor(outputDir: string) {
    this.path = join(outputDir, "log.jsonl");
  }

  onTrainBegin(_run: RunPlace, { state }: { readonly state: Pick<TrainerState, "logHistory"> }): void {
    writeFileAtomically(this.path, state.logHistory.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
  }

  onLog(entry: LogEntry): void {
    appendFileSync(this.path, `${JSON.stringify(entry)}\n`);
  }

  onEvaluate(metrics: LogEntry): void {
    this.onLog(metrics);
  }
}

const short = (value: number): string =>
  Number.isInteger(value)
    ? String(value)
    : Math.abs(value) >= 0.001 && Math.abs(value) < 1e6
      ? value.toPrecision(4)
      : value.toExponential(2);

const line = (entry: LogEntry): string =>
  Object.entries(entry)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${short(value!)}`)
    .join("  ");

interface Bar {
  start(total: number, value: number, payload: object): void;
  update(value: number, payload: object): void;
  stop(): void;
}

/** Shows a progress bar with loss, tokens a second and time left on a terminal, plain lines elsewhere; all on stderr. */
export class ConsoleProgress implements TrainerCallback {
  readonly #out: NodeJS.WriteStream;
  #bar: Bar | undefined;
  #total = 0;
  #done = 0;
  #began = 0;
  #start = 0;

  private constructor(out: NodeJS.WriteStream, bar: Bar | undefined) {
    this.#out = out;
    this.#bar = bar;
  }

  static async create(out: NodeJS.WriteStream = process.stderr): Promise<ConsoleProgress> {
    if (!out.isTTY) return new ConsoleProgress(out, undefined);
    const { default: progress } = await import("cli-progress");
    const format = "{bar} {value}/{total}  loss {loss}  {speed} tokens/s  {left} left";
    return new ConsoleProgress(
      out,
      new progress.SingleBar({ format, stream: out, barsize: 24 }, progress.Presets.shades_classic),
    );
  }

  onTrainBegin({ totalSteps, startStep }: RunPlace): void {
    this.#total = totalSteps;
    this.#start = this.#done = startStep;
    this.#began = performance.now();
    this.#bar?.start(totalSteps, startStep, { loss: "-", speed: "-", left: "-" });
  }

  onStepEnd({ step, loss, tokensPerSecond }: StepEnd): void {
    this.#done = step;
    this.#bar?.update(step, { loss: short(loss), speed: Math.round(tokensPerSecond), left: this.#left() });
  }

  #left(): string {
    const each = (performance.now() - this.#began) / Math.max(1, this.#done - this.#start);
    const seconds = Math.round((each * (this.#total - this.#done)) / 1000);
    return seconds < 60
      ? `${seconds}s`
      : `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, "0")}s`;
  }

  onLog(entry: LogEntry): void {
    if (this.#bar === undefined) this.#print(`${line(entry)}  left ${this.#left()}`);
  }

  onEvaluate(metrics: LogEntry): void {
    this.#print(line(metrics));
  }

  onSave(folder: string): void {
    this.#print(`saved ${folder}`);
  }

  onNotice(notice: string): void {
    this.#print(notice);
  }

  onTrainEnd(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #print(text: string): void {
    const clear = this.#bar === undefined ? "" : "\r\u001b[2K";
    this.#out.write(`${clear}${text}\n`);
  }
}
