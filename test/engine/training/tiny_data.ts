/** @file A Llama of 5,456 weights and rows for it, for tests and for processes that tests start. */
import { join } from "node:path";
import { AutoModelForCausalLM, type CausalLM, type LoadOptions } from "../../../src/models/index.js";
import { Random } from "../../../src/random.js";

export const modelFolder = join(import.meta.dirname, "../../fixtures/trl/model");
export const vocabulary = 48;

/** The model, new, in float32. */
export const tinyModel = (options: LoadOptions = {}): Promise<CausalLM> =>
  AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float32", ...options });

export interface TokenRow {
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
}

/** Rows of `shortest` to `longest` tokens; the first third of each is a prompt, which is not to be predicted. */
export function sftRows(count: number, shortest = 4, longest = 12, seed = 5): TokenRow[] {
  const random = new Random(seed, "rows");
  return Array.from({ length: count }, () => {
    const length = shortest + random.integer(longest - shortest + 1);
    const ids = Array.from({ length }, () => 3 + random.integer(vocabulary - 3));
    return { input_ids: ids, labels: ids.map((id, place) => (place < length / 3 ? -100 : id)) };
  });
}

export interface TokenPair {
  readonly input_ids: readonly number[];
  readonly input_ids_tgt: readonly number[];
}

/** Pairs whose sides share some tokens. */
export function pairRows(count: number, shortest = 3, longest = 9, seed = 6): TokenPair[] {
  const random = new Random(seed, "pairs");
  const side = (length: number) => Array.from({ length }, () => 3 + random.integer(vocabulary - 3));
  return Array.from({ length: count }, () => {
    const ids = side(shortest + random.integer(longest - shortest + 1));
    return { input_ids: ids, input_ids_tgt: [...ids.slice(0, 2), ...side(1 + random.integer(longest - 2))] };
  });
}
