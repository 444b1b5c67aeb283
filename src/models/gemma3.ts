/**
 * @file The text part of Gemma 3 models that see images too: as `gemma3_text`, one module deeper. What sees images is left
 * out, and a model that is saved is one of text alone.
 */
import { CraftError } from "../errors.js";
import { Module, type Linear } from "../nn/index.js";
import type { Parameter } from "../tensor/index.js";
import { DecoderLM, type DecoderBody, type DecoderModel } from "./decoder.js";
import type { LayerView } from "./forward_pass.js";
import { gemmaModel } from "./gemma2.js";
import { Gemma3Attention, gemma3TextConfigOf, gemma3Views, type Gemma3TextConfig } from "./gemma3_text.js";
import { JsonFields } from "./json_fields.js";
import type { ParameterSource } from "./parameter_source.js";
import { isJsonObject, type JsonObject } from "./python_json.js";

/**
 * Reads the config of the text part. What the outer config says of end-of-sequence tokens, tied weights and dtypes holds
 * for it.
 */
export function gemma3Config(json: JsonObject, file: string): Gemma3TextConfig {
  const text = json["text_config"] ?? {};
  if (!isJsonObject(text))
    throw new CraftError({ subject: `${file}, text_config`, reason: "must be an object" });
  const outer = [
    "eos_token_id",
    "bos_token_id",
    "pad_token_id",
    "dtype",
    "torch_dtype",
    "quantization_config",
  ];
  const inherited = Object.fromEntries(
    Object.entries(json).filter(([key]) => outer.includes(key) && json[key] !== null),
  );
  const own: JsonObject = {
    ...text,
    ...inherited,
    // The text part's own field says nothing about the head.
    tie_word_embeddings: json["tie_word_embeddings"] ?? true,
    model_type: "gemma3_text",
    architectures: ["Gemma3ForCausalLM"],
  };
  const fields = new JsonFields(own, `${file}, text_config`);
  fields.refuseUnless("final_logit_softcapping", [], "is not used by transformers beside a vision part");
  return gemma3TextConfigOf(fields);
}

class Gemma3Model extends Module {
  readonly languageModel: DecoderModel;

  constructor(languageModel: DecoderModel) {
    super();
    this.languageModel = languageModel;
  }
}

/** The text part of transformers' class of the same name. */
export class Gemma3ForConditionalGeneration extends DecoderLM<Gemma3TextConfig> {
  readonly model: Gemma3Model;
  readonly lmHead: Linear | undefined;
  readonly #views: readonly LayerView[];

  constructor(config: Gemma3TextConfig, source: ParameterSource) {
    super(config, source);
    this.model = new Gemma3Model(gemmaModel(config, "model.language_model", source, Gemma3Attention));
    this.lmHead = source.head(config);
    this.#views = gemma3Views(config);
  }

  override get modelType(): string {
    return "gemma3";
  }

  protected get body(): DecoderBody {
    return this.model.languageModel;
  }

  protected view(layer: number): LayerView {
    return this.#views[layer]!;
  }

  get headIsTied(): boolean {
    return this.lmHead === undefined;
  }

  protected storedHead(): Parameter {
    return this.lmHead?.weight ?? this.model.languageModel.embedTokens.weight;
  }

  override savedName(path: string): string {
    return path.replace(/^model\.language_model\./, "model.");
  }
}
