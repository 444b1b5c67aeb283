/** @file Tensors of a checkpoint under the names that a model has for them. */
import { CraftError } from "../errors.js";
import type { Checkpoint } from "./checkpoint.js";
import type { WeightReader } from "./parameter_source.js";

/** How checkpoints of an architecture may differ from the model's own names. */
export interface StoredNames {
  /** Other names that a checkpoint may have for a parameter, the likeliest first. */
  readonly others?: (name: string) => readonly string[];
  /** Tensors that are computed from the config, and stored by some versions. */
  readonly computed?: RegExp;
  /** Tensors of a part that the model here does without, and what that part does. */
  readonly leftOut?: { readonly names: RegExp; readonly part: string };
}

/** Body and head: a checkpoint of the body alone has its names without the first part. */
const withoutHead = /^(model|transformer|gpt_neox)\./;

/** Finds what a model asks for in a checkpoint, and knows at the end what nobody asked for. */
export class StoredWeights implements WeightReader {
  readonly #checkpoint: Checkpoint;
  readonly #names: StoredNames;
  readonly #used = new Set<string>();

  constructor(checkpoint: Checkpoint, names: StoredNames) {
    this.#checkpoint = checkpoint;
    this.#names = names;
  }

  has(name: string): boolean {
    return this.#stored(name) !== undefined;
  }

  shape(name: string): readonly number[] {
    return this.#checkpoint.shape(this.#require(name));
  }

  dtype(name: string): ReturnType<WeightReader["dtype"]> {
    return this.#checkpoint.dtype(this.#require(name));
  }

  read(...[name, options]: Parameters<WeightReader["read"]>): ReturnType<WeightReader["read"]> {
    const stored = this.#require(name);
    this.#used.add(stored);
    return this.#checkpoint.read(stored, options);
  }

  elements(...[name, dtype]: Parameters<WeightReader["elements"]>): ReturnType<WeightReader["elements"]> {
    const stored = this.#require(name);
    this.#used.add(stored);
    return this.#checkpoint.elements(stored, dtype);
  }

  /**
   * Refuses weights that the architecture has no place for: a model without them would not be the one that was saved.
   *
   * @param tied whether the head is the embedding table, which some checkpoints hold twice
   * @returns a sentence about a part that was left out, if one was
   */
  requireAllUsed(folder: string, tied: boolean): string | undefined {
    const { computed, leftOut } = this.#names;
    const rest = this.#checkpoint.names.filter(
      (name) =>
        !this.#used.has(name) &&
        !name.endsWith(".rotary_emb.inv_freq") &&
        computed?.test(name) !== true &&
        !(tied && this.#aliases("lm_head.weight").includes(name)),
    );
    const unused = rest.filter((name) => leftOut?.names.test(name) !== true);
    if (unused.length > 0)
      throw new CraftError({
        subject: folder,
        value: unused.slice(0, 3).join(", "),
        reason: `has ${unused.length} tensors that the architecture in config.json has no place for`,
        remedy: "Check that config.json belongs to these weights.",
      });
    if (rest.length === 0 || leftOut === undefined) return undefined;
    return `${rest.length} tensors of ${leftOut.part} are left out: only the text part is loaded, trained and saved`;
  }

  #aliases(name: string): readonly string[] {
    return [name, ...(this.#names.others?.(name) ?? []), name.replace(withoutHead, "")];
  }

  #stored(name: string): string | undefined {
    return this.#aliases(name).find((stored) => this.#checkpoint.has(stored));
  }

  #require(name: string): string {
    const stored = this.#stored(name);
    if (stored === undefined) throw new Error(`The checkpoint has no ${name}; ask with has() first`);
    return stored;
  }
}
