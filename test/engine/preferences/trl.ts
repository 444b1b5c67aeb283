/** @file What TRL's trainers logged on the tiny model (parity/preferences.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { readLog } from "../training/tiny.js";

export interface PairRow {
  readonly prompt_ids: readonly number[];
  readonly chosen_ids: readonly number[];
  readonly rejected_ids: readonly number[];
}

export interface TrlRun {
  readonly kind: "dpo" | "orpo" | "reward";
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly margins?: boolean;
  readonly steps: readonly Readonly<Record<string, number>>[];
}

export const preferenceFolder = join(import.meta.dirname, "../../fixtures/preferences");
export const { rows, common, runs } = JSON.parse(
  readFileSync(join(preferenceFolder, "runs.json"), "utf8"),
) as {
  readonly rows: readonly PairRow[];
  readonly common: Readonly<Record<string, unknown>>;
  readonly runs: readonly TrlRun[];
};

/** Compares a log with TRL's: each of the names within 3e-4 of its largest value in the run, or 1e-5. */
export function expectLog(folder: string, { steps }: TrlRun, names: readonly string[]): void {
  const log = readLog(folder);
  expect(log).toHaveLength(steps.length);
  for (const name of names) {
    const scale = Math.max(0.1, ...steps.map((step) => Math.abs(step[name]!)));
    const differences = steps.map((step, i) => Math.abs(log[i]![name]! - step[name]!) / scale);
    expect(Math.max(...differences), `${name}: ${log.map((entry) => entry[name]).join(" ")}`).toBeLessThan(
      3e-4,
    );
  }
}
