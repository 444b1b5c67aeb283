/** @file What the tasks of a window came to. */

/** What a task's micro-batches came to. */
export interface TaskTotal {
  readonly sum: number;
  readonly weight: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Sums over micro-batches, for each task. */
export class TaskTotals {
  readonly #totals = new Map<string, { sum: number; weight: number; metrics: Record<string, number> }>();

  add(terms: Readonly<Record<string, TaskTotal>>): void {
    for (const [task, { sum, weight, metrics }] of Object.entries(terms)) {
      const total = this.#totals.get(task) ?? { sum: 0, weight: 0, metrics: {} };
      total.sum += sum;
      total.weight += weight;
      for (const [name, value] of Object.entries(metrics))
        total.metrics[name] = (total.metrics[name] ?? 0) + value;
      this.#totals.set(task, total);
    }
  }

  get all(): ReadonlyMap<string, TaskTotal> {
    return this.#totals;
  }

  /** @param task one that has been added */
  weightOf(task: string): number {
    return this.#totals.get(task)!.weight;
  }

  /** @param task one that has been added; its mean loss */
  meanOf(task: string): number {
    const { sum, weight } = this.#totals.get(task)!;
    return sum / weight;
  }
}
