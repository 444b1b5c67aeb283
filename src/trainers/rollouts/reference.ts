/** @file The policy that training starts from, which divergence is measured against. */
import type { CausalLM } from "../../models/index.js";
import type { LoraModel } from "../../peft/lora.js";
import {
  frozenCopy,
  givenReference,
  withFirstAdapter,
  withoutAdapter,
  type Reference,
} from "../preference/reference.js";

export interface ReferenceOptions {
  readonly model: CausalLM;
  readonly lora: LoraModel | undefined;
  /** Whether the adapter is new, so that without it the model is as it was. */
  readonly newAdapter: boolean;
  /** A model, or its folder, in the place of the one that is trained. */
  readonly refModel: CausalLM | string | undefined;
}

/**
 * The reference: the model that is given; else the model without the new adapter that is trained, or with an adapter as it
 * was at first; else a copy of the model.
 *
 * @throws CraftError for a reference of another vocabulary.
 */
export async function openReference(options: ReferenceOptions): Promise<Reference> {
  const { model, lora, newAdapter, refModel } = options;
  if (refModel !== undefined) return givenReference(refModel, model);
  if (lora !== undefined) return newAdapter ? withoutAdapter(lora) : withFirstAdapter(lora);
  return frozenCopy(model);
}
