import { CraftError } from "../../errors.js";
import type { CarriedValues } from "../carried.js";

/** A number for each of a fixed list of tasks. */
export class TaskNumbers {
  readonly #places: ReadonlyMap<string, number>;
  #values: number[];

  constructor(tasks: readonly string[], initial: number) {
    this.#places = new Map(tasks.map((task, place) => [task, place]));
    this.#values = tasks.map(() => initial);
  }

  get values(): readonly number[] {
    return this.#values;
  }

  /** @throws CraftError for a task that is not in the list. */
  get(task: string): number {
    return this.#values[this.#place(task)]!;
  }

  set(task: string, value: number): void {
    this.#values[this.#place(task)] = value;
  }

  /** Replaces every number. */
  map(change: (value: number) => number): void {
    this.#values = this.#values.map(change);
  }

  /** Takes up the list `name` of what was saved. @throws CraftError where it does not have a number for each task. */
  restore({ numbers }: CarriedValues, name: string): void {
    const saved = numbers?.[name];
    if (saved?.length !== this.#values.length) {
      throw new CraftError({
        subject: `saved ${name}`,
        value: saved?.length,
        reason: `there must be one for each of ${[...this.#places.keys()].join(", ")}`,
        remedy: "Resume with the settings that the checkpoint was made with",
      });
    }
    this.#values = [...saved];
  }

  #place(task: string): number {
    const place = this.#places.get(task);
    if (place !== undefined) return place;
    throw new CraftError({
      subject: "balancer",
      value: task,
      reason: "was not made for this task",
      remedy: `It knows ${[...this.#places.keys()].join(", ")}.`,
    });
  }
}
