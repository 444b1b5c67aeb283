/** @file The policy that training starts from, which divergence is measured against. */
import { CraftError } from "../../errors.js";
import { AutoModelForCausalLM, type CausalLM } from "../../models/index.js";
import type { LoraModel } from "../../peft/lora.js";
import type { Completed } from "./buffer.js";
import { LogProbScorer } from "./log_probs.js";

type ScorerOptions = ConstructorParameters<typeof LogProbScorer>[1];

export interface ReferenceOptions extends ScorerOptions {
  readonly model: CausalLM;
  readonly lora: LoraModel | undefined;
  /** A model, or its folder, in the place of the one that is trained. */
  readonly refModel: CausalLM | string | undefined;
  /** The option that wants a reference, for errors. */
  readonly wantedBy: string;
}

/** Gives the reference's log-probabilities. */
export interface Reference {
  score(rows: readonly Completed[]): Promise<number[][]>;
  dispose(): void;
}

/**
 * The reference: the model that is given; else the model without the adapter that is trained; else the folder that the
 * model came from, loaded once more.
 *
 * @throws CraftError for a model that is trained whole and came from no folder, and a reference of another vocabulary.
 */
export async function openReference(options: ReferenceOptions): Promise<Reference> {
  const { model, lora, refModel, wantedBy, ...scoring } = options;
  if (refModel === undefined && lora !== undefined) {
    const scorer = new LogProbScorer(model, scoring);
    return {
      score: (rows) => lora.disabled(() => scorer.score(rows)),
      dispose: () => scorer.dispose(),
    };
  }
  const source = refModel ?? model.nameOrPath;
  if (source === undefined)
    throw new CraftError({
      subject: "refModel",
      reason: `is not given, and ${wantedBy} measures divergence from a reference; the model is trained whole and was loaded from no folder`,
      remedy: "Give refModel, train an adapter (peftConfig), or set the option to 0.",
    });
  const own = typeof source === "string";
  const reference = own ? await AutoModelForCausalLM.fromPretrained(source, { dtype: model.dtype }) : source;
  if (reference.shape.vocabSize !== model.shape.vocabSize) {
    const found = reference.shape.vocabSize;
    if (own) reference.dispose();
    throw new CraftError({
      subject: "refModel",
      value: `${found} tokens`,
      reason: `its vocabulary is not that of the model, which has ${model.shape.vocabSize}`,
      remedy: "Give a reference with the same tokenizer.",
    });
  }
  const scorer = new LogProbScorer(reference, scoring);
  return {
    score: (rows) => scorer.score(rows),
    dispose: () => {
      scorer.dispose();
      if (own) reference.dispose();
    },
  };
}
