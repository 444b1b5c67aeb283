/** @file The architectures, by `model_type` in config.json. */
import type { CausalLM } from "./causal_lm.js";
import { llamaConfigFromJson, requireModelType, type ModelConfig } from "./config.js";
import { gemma2Config, Gemma2ForCausalLM } from "./gemma2.js";
import { gemma3Config, Gemma3ForConditionalGeneration } from "./gemma3.js";
import { gemma3TextConfig, Gemma3ForCausalLM } from "./gemma3_text.js";
import { gpt2Config, GPT2LMHeadModel } from "./gpt2.js";
import { gptNeoXConfig, GPTNeoXForCausalLM } from "./gpt_neox.js";
import { LlamaForCausalLM } from "./llama.js";
import { mistralConfig, MistralForCausalLM } from "./mistral.js";
import { olmo2Config, Olmo2ForCausalLM } from "./olmo2.js";
import type { ParameterSource } from "./parameter_source.js";
import { phi3Config, Phi3ForCausalLM } from "./phi3.js";
import type { JsonObject } from "./python_json.js";
import { qwen2Config, Qwen2ForCausalLM } from "./qwen2.js";
import { qwen3Config, Qwen3ForCausalLM } from "./qwen3.js";
import { smollm3Config, SmolLM3ForCausalLM } from "./smollm3.js";
import type { StoredNames } from "./stored_weights.js";

export interface Architecture {
  /** Builds a model from its config.json and a source of its parameters. */
  readonly build: (config: ModelConfig, source: ParameterSource) => CausalLM;
  /** What its checkpoints may call things. */
  readonly names: StoredNames;
}

/** The config is read before the first weight, so that what is not supported is refused at once. */
const architecture = <Config>(
  read: (json: JsonObject, file: string) => Config,
  Model: new (config: Config, source: ParameterSource) => CausalLM,
  names: StoredNames = {},
): Architecture => ({ build: ({ json, file }, source) => new Model(read(json, file), source), names });

/** Causal masks, which the first versions kept among the weights. */
const storedMasks = /\battn\.(masked_)?bias$|\battention\.(masked_)?bias$/;

const architectures: ReadonlyMap<string, Architecture> = new Map([
  ["gemma2", architecture(gemma2Config, Gemma2ForCausalLM)],
  [
    "gemma3",
    architecture(gemma3Config, Gemma3ForConditionalGeneration, {
      others: (name) =>
        name.startsWith("lm_head.")
          ? [`language_model.${name}`]
          : [name.replace(/^model\.language_model\./, "language_model.model.")],
      leftOut: { names: /^(model\.)?(vision_tower|multi_modal_projector)\./, part: "the vision part" },
    }),
  ],
  ["gemma3_text", architecture(gemma3TextConfig, Gemma3ForCausalLM)],
  ["gpt2", architecture(gpt2Config, GPT2LMHeadModel, { computed: storedMasks })],
  [
    "gpt_neox",
    architecture(gptNeoXConfig, GPTNeoXForCausalLM, {
      others: (name) => (name === "lm_head.weight" ? ["embed_out.weight"] : []),
      computed: storedMasks,
    }),
  ],
  ["llama", architecture(llamaConfigFromJson, LlamaForCausalLM)],
  ["mistral", architecture(mistralConfig, MistralForCausalLM)],
  ["olmo2", architecture(olmo2Config, Olmo2ForCausalLM)],
  ["phi3", architecture(phi3Config, Phi3ForCausalLM)],
  ["qwen2", architecture(qwen2Config, Qwen2ForCausalLM)],
  ["qwen3", architecture(qwen3Config, Qwen3ForCausalLM)],
  ["smollm3", architecture(smollm3Config, SmolLM3ForCausalLM)],
]);

/** Values of `model_type` that can be loaded. */
export const supportedModelTypes: readonly string[] = [...architectures.keys()];

/** @throws CraftError for a model type that is not supported, naming those that are. */
export function architectureOf(config: ModelConfig): Architecture {
  requireModelType(config, supportedModelTypes);
  return architectures.get(config.modelType)!;
}
