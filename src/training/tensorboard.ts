/** @file The log as TensorBoard shows it. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { CallbackContext, LogEntry, RunPlace, TrainerCallback } from "./callbacks.js";
import { EventFile, restartEvent, scalarEvent } from "./event_file.js";

/**
 * Writes log entries and evaluations to `runs` in the output folder, as scalars `train/…` and `eval/…`. A run that goes
 * on from a checkpoint adds a file, which tells readers to forget the steps that are done again.
 *
 * @example
 * const args = new SFTConfig({ outputDir: "out", reportTo: "tensorboard" }); // tensorboard --logdir out/runs
 */
export class TensorBoardCallback implements TrainerCallback {
  readonly #folder: string;
  #file: EventFile | undefined;

  constructor(outputDir: string) {
    this.#folder = join(outputDir, "runs");
  }

  onTrainBegin({ startStep }: RunPlace, { state }: Pick<CallbackContext, "state">): void {
    const goesOn = existsSync(this.#folder) && readdirSync(this.#folder).length > 0;
    this.#file = new EventFile(this.#folder);
    if (goesOn) this.#file.add(restartEvent(Date.now() / 1000, startStep));
    for (const entry of state.logHistory) if (!goesOn || (entry["step"] ?? 0) >= startStep) this.onLog(entry);
  }

  onLog(entry: LogEntry): void {
    const { step = 0, ...rest } = entry;
    const values = Object.entries(rest).flatMap(([name, value]): [string, number][] =>
      value === undefined ? [] : [[tagOf(name), value]],
    );
    this.#file?.add(scalarEvent({ wallTime: Date.now() / 1000, step, values: Object.fromEntries(values) }));
  }

  onEvaluate(metrics: LogEntry): void {
    this.onLog(metrics);
  }
}

/** As transformers names them. */
const tagOf = (name: string): string =>
  name.startsWith("eval_") ? `eval/${name.slice("eval_".length)}` : `train/${name}`;
