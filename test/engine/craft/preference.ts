/** @file A trainer of another objective than the library's: the chosen of two answers is to be the likelier one. */
import { DataCollatorForLanguageModeling } from "../../../src/data/index.js";
import type { CausalLM } from "../../../src/models/index.js";
import { constant, logSoftmax, slice, unsqueeze, type Tensor } from "../../../src/tensor/index.js";
import { languageModelingInputs, Trainer, type Inputs } from "../../../src/trainers/index.js";
import type { TracedFeeds } from "../../../src/training/index.js";
import { sftRows } from "../training/tiny.js";

export interface Preference {
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
}

export const preferences = (count: number): Preference[] => {
  const texts = sftRows(2 * count, 4, 8, 9).map(({ input_ids: ids }) => ids);
  return Array.from({ length: count }, (_, i) => ({
    chosen: texts[2 * i]!,
    rejected: [...texts[2 * i]!.slice(0, 2), ...texts[2 * i + 1]!],
  }));
};

/** Log-probability of each text [rows], of all its tokens but the first. */
export function logProbability(model: CausalLM, ids: Tensor, mask: Tensor): Tensor {
  const [rows, length] = [ids.shape[0]!, ids.shape[1]!];
  const logits = slice(model.forward(ids), 1, 0, length - 1);
  const chosen = logSoftmax(logits, -1).gather(2, unsqueeze(slice(ids, 1, 1), 2));
  return chosen
    .reshape([rows, length - 1])
    .mul(slice(mask, 1, 1).to(logits.dtype))
    .sum([1]);
}

/** -log sigmoid(0.1 (log p(chosen) - log p(rejected))), summed over pairs. */
export const preferenceLoss = (chosen: Tensor, rejected: Tensor): Tensor =>
  chosen.sub(rejected).mul(0.1).logSigmoid().sum().mul(-1);

export class PreferenceTrainer extends Trainer<Preference> {
  protected override get taskName(): string {
    return "preference";
  }

  override computeLoss(model: CausalLM, inputs: TracedFeeds) {
    const scores = logProbability(model, inputs["input_ids"]!, inputs["attention_mask"]!);
    const pairs = scores.shape[0]! / 2;
    const [chosen, rejected] = [slice(scores, 0, 0, pairs), slice(scores, 0, pairs)];
    return {
      sum: preferenceLoss(chosen, rejected),
      weight: constant(pairs, "float32"),
      metrics: { accuracy: chosen.gt(rejected).to("float32").sum() },
    };
  }
}

const padding = new DataCollatorForLanguageModeling({ padTokenId: 0 });

/** The chosen answers of a batch before its rejected ones. */
export const collatePreferences = (rows: readonly Preference[]): Inputs => {
  const texts = [...rows.map(({ chosen }) => chosen), ...rows.map(({ rejected }) => rejected)];
  return languageModelingInputs(padding.collate(texts.map((input_ids) => ({ input_ids }))));
};
