/** @file Runs of the tiny model in folders that are removed. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { Dataset } from "../../../src/data/index.js";
import { Random } from "../../../src/random.js";
import type { Parameter } from "../../../src/tensor/index.js";
import type { LogEntry, TrainerCallback } from "../../../src/training/index.js";

export * from "./tiny_data.js";

/** Gives paths at which nothing is yet; all of them are removed after the tests of the calling file. */
export function temporaryFolders(): () => string {
  const parent = mkdtempSync(join(tmpdir(), "craft-training-"));
  afterAll(() => rmSync(parent, { recursive: true, force: true }));
  let next = 0;
  return () => join(parent, `run-${next++}`);
}

/** Rows that a run of `seed` visits in the given order in its first epoch. */
export function inOrder<R extends object>(
  rows: readonly R[],
  seed: number,
  name = "train_dataset",
): Dataset<R> {
  const order = new Random(seed, "order", 0).permutation(rows.length);
  const placed: R[] = [];
  order.forEach((place, turn) => (placed[place] = rows[turn]!));
  return Dataset.fromArray(placed, { name });
}

/** The numbers of parameters by name. */
export const numbersOf = (named: Iterable<readonly [string, Parameter]>): Map<string, readonly number[]> =>
  new Map([...named].map(([name, parameter]) => [name, parameter.value.toNumbers()]));

/** The objects in log.jsonl. */
export function readLog(folder: string): Record<string, number>[] {
  const lines = readFileSync(join(folder, "log.jsonl"), "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, number>);
}

/** What a run logs, without the measured times. */
export function withoutTimes(entries: readonly LogEntry[]): LogEntry[] {
  const timed = new Set(["step_time", "tokens_per_second", "eval_runtime"]);
  return entries.map((entry) =>
    Object.fromEntries(Object.entries(entry).filter(([name]) => !timed.has(name))),
  );
}

/** Calls `act` once when a step ends. */
export const atStep = (step: number, act: () => void): TrainerCallback => ({
  onStepEnd: (end) => {
    if (end.step === step) act();
  },
});
