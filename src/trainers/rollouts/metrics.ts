/** @file Numbers about rollouts, gathered for the log. */
import type { Carried, CarriedValues } from "../../training/carried.js";
import type { LogEntry } from "../../training/index.js";

/** Means of what is added between two log entries. NaN is left out. */
export class RolloutMetrics implements Carried {
  #sums = new Map<string, { sum: number; count: number }>();
  /** The last rollout that was added: one that is made again after an interruption does not count twice. */
  #last = -1;

  /** @param rollout its number */
  add(rollout: number, entries: Readonly<Record<string, number>>): void {
    if (rollout <= this.#last) return;
    this.#last = rollout;
    this.gather(entries);
  }

  gather(entries: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(entries)) {
      if (Number.isNaN(value)) continue;
      const { sum, count } = this.#sums.get(name) ?? { sum: 0, count: 0 };
      this.#sums.set(name, { sum: sum + value, count: count + 1 });
    }
  }

  /** The means; afterwards nothing has gathered. */
  take(): LogEntry {
    const entry = Object.fromEntries([...this.#sums].map(([name, { sum, count }]) => [name, sum / count]));
    this.#sums = new Map();
    return entry;
  }

  state(): CarriedValues {
    const gathered = [...this.#sums].map(([name, { sum, count }]) => [`mean.${name}`, [sum, count]] as const);
    return { numbers: { last: [this.#last], ...Object.fromEntries(gathered) } };
  }

  restore({ numbers = {} }: CarriedValues): void {
    this.#last = numbers["last"]?.[0] ?? -1;
    this.#sums = new Map(
      Object.entries(numbers)
        .filter(([name]) => name.startsWith("mean."))
        .map(([name, values]) => [name.slice("mean.".length), { sum: values[0]!, count: values[1]! }]),
    );
  }
}

/** Mean, least and greatest of some numbers, 0 where there is none. */
export function spanOf(values: readonly number[]): {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
} {
  if (values.length === 0) return { mean: 0, min: 0, max: 0 };
  const sum = values.reduce((a, b) => a + b, 0);
  return { mean: sum / values.length, min: Math.min(...values), max: Math.max(...values) };
}

/** What TRL tells of the lengths of completions, those that ended by themselves apart. */
export function lengthMetrics(
  completions: readonly { readonly ids: readonly number[]; readonly stopped: string }[],
): Record<string, number> {
  const all = spanOf(completions.map(({ ids }) => ids.length));
  const ended = completions.filter(({ stopped }) => stopped !== "length");
  const terminated = spanOf(ended.map(({ ids }) => ids.length));
  return {
    "completions/mean_length": all.mean,
    "completions/min_length": all.min,
    "completions/max_length": all.max,
    "completions/clipped_ratio": 1 - ended.length / Math.max(1, completions.length),
    "completions/mean_terminated_length": terminated.mean,
    "completions/min_terminated_length": terminated.min,
    "completions/max_terminated_length": terminated.max,
  };
}

/** Mean and standard deviation (n - 1) of what is not NaN; a deviation of fewer than two numbers is NaN, as in TRL. */
export function spread(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length === 0) return { mean: NaN, deviation: NaN };
  // Equal numbers need not have their own value as mean, after rounding.
  if (known.length > 1 && known.every((value) => value === known[0]))
    return { mean: known[0]!, deviation: 0 };
  const mean = known.reduce((a, b) => a + b, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: known.length < 2 ? NaN : Math.sqrt(squares / (known.length - 1)) };
}
