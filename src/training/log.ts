/** @file Where a run reports: log.jsonl, and the console. */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../models/atomic_file.js";

/** One entry: numbers by name. Undefined ones are left out. */
export type LogEntry = Readonly<Record<string, number | undefined>>;

/** Hears what happens in a run. All methods are optional. */
export interface TrainingListener {
  onTrainBegin?(run: { readonly totalSteps: number; readonly startStep: number }): void;
  onStepEnd?(step: { readonly step: number; readonly loss: number; readonly tokensPerSecond: number }): void;
  onLog?(entry: LogEntry): void;
  onEvaluate?(metrics: LogEntry): void;
  onSave?(folder: string): void;
  onNotice?(notice: string): void;
  onTrainEnd?(): void;
}

/**
 * Appends entries to `log.jsonl`, one JSON object a line. A run that goes on from a checkpoint keeps the entries up to
 * that step; those of the steps that it does again, and a line that was cut off, are taken out.
 */
export class JsonlLog implements TrainingListener {
  readonly path: string;

  constructor(outputDir: string) {
    this.path = join(outputDir, "log.jsonl");
  }

  onTrainBegin({ startStep }: { readonly startStep: number }): void {
    const kept = startStep > 0 && existsSync(this.path) ? entriesUpTo(this.path, startStep) : [];
    writeFileAtomically(this.path, kept.map((entry) => `${entry}\n`).join(""));
  }

  onLog(entry: LogEntry): void {
    appendFileSync(this.path, `${JSON.stringify(entry)}\n`);
  }

  onEvaluate(metrics: LogEntry): void {
    this.onLog(metrics);
  }
}

function entriesUpTo(path: string, step: number): string[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((text) => {
      try {
        const entry = JSON.parse(text) as Readonly<Record<string, unknown>>;
        return typeof entry["step"] === "number" && entry["step"] <= step;
      } catch {
        return false;
      }
    });
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
export class ConsoleProgress implements TrainingListener {
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
      new progress.SingleBar(
        { format, stream: out, hideCursor: true, barsize: 24 },
        progress.Presets.shades_classic,
      ),
    );
  }

  onTrainBegin({ totalSteps, startStep }: { readonly totalSteps: number; readonly startStep: number }): void {
    this.#total = totalSteps;
    this.#start = this.#done = startStep;
    this.#began = performance.now();
    this.#bar?.start(totalSteps, startStep, { loss: "-", speed: "-", left: "-" });
  }

  onStepEnd({
    step,
    loss,
    tokensPerSecond,
  }: {
    readonly step: number;
    readonly loss: number;
    readonly tokensPerSecond: number;
  }): void {
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
