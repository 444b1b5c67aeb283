/** @file Completions as tables. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../../models/atomic_file.js";
import type { TextOrMessages } from "../rewards/reward.js";

/** A completion with what is known of it. */
export interface LoggedCompletion {
  readonly prompt: TextOrMessages | undefined;
  readonly completion: string;
  /** By the names of the functions; null where one does not apply. */
  readonly rewards: Readonly<Record<string, number | null>>;
  readonly advantage: number | undefined;
  readonly extra: Readonly<Record<string, unknown>>;
}

export interface CompletionsLogOptions {
  readonly outputDir: string;
  /** How many are shown; all if undefined. */
  readonly shown: number | undefined;
  readonly uniquePrompts: boolean;
  readonly notice: (text: string) => void;
}

/** Where completions are written in the output folder. */
export const completionsFolder = "completions";

/**
 * Writes the completions of each rollout into a file of its own, `completions/completions_00007.jsonl`: one row each with
 * step, prompt, completion, the rewards, the columns that these add, and the advantage. {@link loadDataset} reads them.
 */
export class CompletionsLog {
  readonly #options: CompletionsLogOptions;

  constructor(options: CompletionsLogOptions) {
    this.#options = options;
  }

  /** @param step optimiser steps that were done before */
  write(rollout: number, step: number, completions: readonly LoggedCompletion[]): void {
    const { outputDir, shown, uniquePrompts, notice } = this.#options;
    const first = new Set<string>();
    const kept = completions.filter(({ prompt }) => {
      const key = JSON.stringify(prompt);
      if (uniquePrompts && first.has(key)) return false;
      first.add(key);
      return true;
    });
    const rows = kept.map(({ prompt, completion, rewards, advantage, extra }) =>
      JSON.stringify({ step, prompt, completion, ...rewards, ...extra, advantage }),
    );
    const folder = join(outputDir, completionsFolder);
    mkdirSync(folder, { recursive: true });
    const name = `completions_${String(rollout).padStart(5, "0")}.jsonl`;
    writeFileAtomically(join(folder, name), rows.map((row) => `${row}\n`).join(""));
    const some = kept.slice(0, shown);
    if (some.length > 0) notice(tableOf(some, step));
  }
}

/** A completion a line: prompt, completion, rewards, advantage, each cut to a column. */
function tableOf(completions: readonly LoggedCompletion[], step: number): string {
  const names = Object.keys(completions[0]!.rewards);
  const cells = [
    ["prompt", "completion", ...names, "advantage"],
    ...completions.map(({ prompt, completion, rewards, advantage }) => [
      cell(typeof prompt === "string" ? prompt : JSON.stringify(prompt ?? "")),
      cell(completion),
      ...names.map((name) => short(rewards[name] ?? null)),
      short(advantage ?? null),
    ]),
  ];
  const widths = cells[0]!.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const lines = cells.map((row) =>
    row
      .map((text, i) => text.padEnd(widths[i]!))
      .join("  ")
      .trimEnd(),
  );
  return [`completions after step ${step}:`, ...lines].join("\n");
}

function cell(text: string): string {
  const line = text.replaceAll(/\s+/gu, " ").trim();
  return line.length > 40 ? `${line.slice(0, 39)}…` : line;
}

const short = (value: number | null): string => (value === null ? "-" : value.toFixed(3));
