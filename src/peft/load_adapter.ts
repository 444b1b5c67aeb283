import type { CausalLM } from "../models/causal_lm.js";
import { LoraModel } from "./lora.js";

/**
 * Attaches the adapter of a folder, as PEFT or {@link writeAdapter} wrote it, to its base model. The tensors are kept
 * in float32.
 *
 * @throws CraftError if the folder holds no adapter that can be read, or one of another base model.
 */
export const loadAdapter = (model: CausalLM, folder: string): LoraModel => LoraModel.load(model, folder);
