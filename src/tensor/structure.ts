/**
 * @file State of models that decides which nodes a traced function makes, and that is not among its arguments: which
 * adapter is active, for example. Compiled functions keep programs apart by it.
 */
const states = new Map<number, string>();
let count = 0;

const forgotten = new FinalizationRegistry<number>((id) => states.delete(id));

/** The state of one thing that traced functions close over. */
export class Structure {
  readonly #id = count++;

  constructor() {
    forgotten.register(this, this.#id);
  }

  /** Notes the state that functions are traced in from now on; undefined where it decides nothing any more. */
  note(state: string | undefined): void {
    if (state === undefined) states.delete(this.#id);
    else states.set(this.#id, state);
  }
}

/** Tells apart states in which one function makes different nodes. Empty while nothing is noted. */
export const structureKey = (): string =>
  [...states].map(([id, state]) => `${id}:${JSON.stringify(state)}`).join();
