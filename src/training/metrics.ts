import type { LogEntry } from "./callbacks.js";
import type { TaskTotal } from "./task_totals.js";

/** Sums and weights of tasks over several windows, for the log. */
export class RunningTotals {
  readonly #tasks = new Map<string, { sum: number; weight: number; metrics: Record<string, number> }>();

  add(totals: ReadonlyMap<string, TaskTotal>): void {
    for (const [task, { sum, weight, metrics }] of totals) {
      const own = this.#tasks.get(task) ?? { sum: 0, weight: 0, metrics: {} };
      own.sum += sum;
      own.weight += weight;
      for (const [name, value] of Object.entries(metrics))
        own.metrics[name] = (own.metrics[name] ?? 0) + value;
      this.#tasks.set(task, own);
    }
  }

  /** Mean loss of a task, undefined if it did not occur. */
  loss(task: string): number | undefined {
    const own = this.#tasks.get(task);
    return own === undefined || own.weight === 0 ? undefined : own.sum / own.weight;
  }

  get tasks(): string[] {
    return [...this.#tasks.keys()];
  }

  /** Mean metrics of all tasks under their own names. */
  metrics(): LogEntry {
    const result: Record<string, number> = {};
    for (const { weight, metrics } of this.#tasks.values()) {
      if (weight === 0) continue;
      for (const [name, value] of Object.entries(metrics)) result[name] = value / weight;
    }
    return result;
  }

  /** What was added, as plain JSON; `add(new Map(Object.entries(saved)))` takes it up again. */
  state(): Readonly<Record<string, TaskTotal>> {
    return Object.fromEntries(
      [...this.#tasks].map(([task, own]) => [task, { ...own, metrics: { ...own.metrics } }]),
    );
  }

  clear(): void {
    this.#tasks.clear();
  }
}
