/** @file The completions that a run is training on. */
import type { Carried, CarriedValues } from "../../training/carried.js";

/** A prompt with a completion of it. */
export interface Completed {
  readonly promptIds: readonly number[];
  readonly ids: readonly number[];
}

/** The same with what is known of it. */
export interface CompletionRow extends Completed {
  /** Numbers of each token of the completion, by name. */
  readonly tokens: Readonly<Record<string, readonly number[]>>;
  /** Numbers of the completion, by name. */
  readonly numbers: Readonly<Record<string, number>>;
}

/** What was made of some prompts at one time. */
export interface Rollout {
  /** Counted from 0 over the whole run. */
  readonly number: number;
  /** Optimiser steps that the policy had behind it. */
  readonly step: number;
  readonly rows: readonly CompletionRow[];
}

/**
 * Keeps one rollout from window to window, and in checkpoints: the policy that it is from is gone when a run goes on in
 * the middle of it.
 */
export class RolloutBuffer implements Carried {
  #rollout: Rollout | undefined;

  get rollout(): Rollout | undefined {
    return this.#rollout;
  }

  hold(rollout: Rollout): void {
    this.#rollout = rollout;
  }

  state(): CarriedValues {
    if (this.#rollout === undefined) return { numbers: {} };
    const { number, step, rows } = this.#rollout;
    const first = rows[0];
    const flat = (pick: (row: CompletionRow) => readonly number[]): number[] => rows.flatMap(pick);
    const entries: [string, number[]][] = [
      ["rollout", [number, step]],
      ["prompt_lengths", rows.map(({ promptIds }) => promptIds.length)],
      ["prompt_ids", flat(({ promptIds }) => promptIds)],
      ["completion_lengths", rows.map(({ ids }) => ids.length)],
      ["completion_ids", flat(({ ids }) => ids)],
      ...Object.keys(first?.tokens ?? {}).map((name): [string, number[]] => [
        `tokens.${name}`,
        flat(({ tokens }) => tokens[name]!),
      ]),
      ...Object.keys(first?.numbers ?? {}).map((name): [string, number[]] => [
        `numbers.${name}`,
        rows.map(({ numbers }) => numbers[name]!),
      ]),
    ];
    return { numbers: Object.fromEntries(entries) };
  }

  restore({ numbers = {} }: CarriedValues): void {
    const place = numbers["rollout"];
    if (place === undefined) {
      this.#rollout = undefined;
      return;
    }
    const prompts = pieces(numbers["prompt_ids"]!, numbers["prompt_lengths"]!);
    const lengths = numbers["completion_lengths"]!;
    const completions = pieces(numbers["completion_ids"]!, lengths);
    const named = (prefix: string): [string, readonly number[]][] =>
      Object.entries(numbers)
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, values]) => [name.slice(prefix.length), values]);
    const tokens = named("tokens.").map(([name, values]) => [name, pieces(values, lengths)] as const);
    const single = named("numbers.");
    this.#rollout = {
      number: place[0]!,
      step: place[1]!,
      rows: completions.map((ids, i) => ({
        promptIds: prompts[i]!,
        ids,
        tokens: Object.fromEntries(tokens.map(([name, of]) => [name, of[i]!])),
        numbers: Object.fromEntries(single.map(([name, of]) => [name, of[i]!])),
      })),
    };
  }

  /** Gives tokens of rows other numbers under a name, by their place in the rollout. */
  setTokens(name: string, values: ReadonlyMap<number, readonly number[]>): void {
    if (this.#rollout === undefined) return;
    const rows = this.#rollout.rows.map((row, i) => {
      const own = values.get(i);
      return own === undefined ? row : { ...row, tokens: { ...row.tokens, [name]: own } };
    });
    this.#rollout = { ...this.#rollout, rows };
  }
}

/** A list cut into pieces of the given lengths. */
function pieces(flat: readonly number[], lengths: readonly number[]): number[][] {
  let from = 0;
  return lengths.map((length) => flat.slice(from, (from += length)));
}
