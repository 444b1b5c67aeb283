import { CraftError } from "../errors.js";
import type { AdapterWeights } from "./adapter_weights.js";

/** The adapters of a model by name. */
export class NamedAdapters {
  readonly #all = new Map<string, AdapterWeights>();

  get names(): string[] {
    return [...this.#all.keys()];
  }

  get size(): number {
    return this.#all.size;
  }

  /** @throws CraftError naming those that there are. */
  get(name: string): AdapterWeights {
    const found = this.#all.get(name);
    if (found !== undefined) return found;
    throw new CraftError({
      subject: "adapter",
      value: name,
      reason: "is not in this model",
      remedy: `There are ${this.names.join(", ") || "none"}.`,
    });
  }

  /** @throws CraftError unless it can be the name of a new adapter. */
  requireNew(name: string): void {
    if (name !== "" && !this.#all.has(name)) return;
    throw new CraftError({
      subject: "adapter",
      value: name,
      reason: name === "" ? "is no name" : "is the name of another adapter of this model",
      remedy: "Choose another name.",
    });
  }

  set(name: string, weights: AdapterWeights): void {
    this.#all.set(name, weights);
  }

  delete(name: string): void {
    this.#all.delete(name);
  }

  /** Frees all. */
  dispose(): void {
    for (const weights of this.#all.values()) weights.dispose();
    this.#all.clear();
  }
}
