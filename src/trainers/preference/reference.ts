/** @file The model that the policy is compared with. */
import { CraftError } from "../../errors.js";
import { AutoModelForCausalLM } from "../../models/index.js";
import { copyModel } from "../../models/copy_model.js";
import type { CausalLM } from "../../models/causal_lm.js";
import type { LoraModel } from "../../peft/lora.js";
import { scope, withoutRandomness, type Parameter } from "../../tensor/index.js";
import type { DType } from "../../torch/dtype.js";

/** A frozen model beside the one that is trained; often the same weights with another adapter, or none. */
export interface Reference {
  /** Traces `body` with the reference: without gradients towards it, and without anything random. */
  under<T>(body: (model: CausalLM) => T): T;
  /** The reference, where its weights are its own; else the model that is trained. */
  readonly model: CausalLM;
  /** What it is made of, by name. */
  weights(): readonly (readonly [string, Parameter])[];
}

const still = <T>(body: () => T): T => scope("reference", () => withoutRandomness(body));

/** The model that is trained, without its adapter. */
export const withoutAdapter = (lora: LoraModel): Reference => ({
  under: (body) => still(() => lora.disabled(() => body(lora.model))),
  model: lora.model,
  weights: () => lora.disabled(() => [...lora.model.namedParameters()]),
});

const copyName = "ref";

/** The model that is trained, with its adapter as it was when this was first called. */
export function withFirstAdapter(lora: LoraModel): Reference {
  const active = lora.activeAdapter;
  if (active === undefined)
    throw new CraftError({ subject: "model", reason: "has no active adapter", remedy: "Activate one." });
  if (!lora.adapterNames.includes(copyName)) lora.copyAdapter(active, copyName);
  return {
    under: (body) => still(() => lora.using(copyName, () => body(lora.model))),
    model: lora.model,
    weights: () => lora.using(copyName, () => [...lora.model.namedParameters(), ...lora.namedParameters()]),
  };
}

/** A model of its own. */
export const ownModel = (model: CausalLM): Reference => ({
  under: (body) => still(() => body(model)),
  model,
  weights: () => [...model.namedParameters()],
});

/**
 * A copy of a model as it is now, which is freed with it.
 *
 * @param dtype that the copy keeps its weights in
 */
export function frozenCopy(model: CausalLM, dtype: DType = model.dtype): Reference {
  const copy = copyModel(model, dtype);
  model.disposeWith(copy);
  return ownModel(copy);
}

/**
 * The reference that a user gives: a model, or the folder of one, which is loaded in the
 * dtype of the model that is trained, and freed with it.
 *
 * @throws CraftError for a model with another vocabulary.
 */
export async function givenReference(given: CausalLM | string, model: CausalLM): Promise<Reference> {
  if (given === model)
    throw new CraftError({
      subject: "refModel",
      reason: "is the model that is trained, and would change with it",
      remedy: "Leave it out: the reference is then a copy, or the model without its adapter.",
    });
  const loaded = typeof given === "string";
  const reference = loaded ? await AutoModelForCausalLM.fromPretrained(given, { dtype: model.dtype }) : given;
  const [own, other] = [model.shape.vocabSize, reference.shape.vocabSize];
  if (own !== other) {
    if (loaded) reference.dispose();
    throw new CraftError({
      subject: "refModel",
      value: `${other} tokens`,
      reason: `has another vocabulary than the model, which has ${own}`,
      remedy: "Give a model with the same tokenizer.",
    });
  }
  reference.setTrainable(false);
  if (loaded) model.disposeWith(reference);
  return ownModel(reference);
}
