import { CraftError } from "../errors.js";
import { fourBitLayers } from "../quantization/index.js";
import type { DType } from "../torch/dtype.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { Parameter } from "../tensor/index.js";
import { architectureOf } from "./architectures.js";
import type { CausalLM } from "./causal_lm.js";
import { ParameterSource, type WeightReader } from "./parameter_source.js";

/**
 * A model with the same weights as they are now, without adapters, none of them trainable. Whoever asks for it disposes
 * of it.
 *
 * @param dtype that it computes in and keeps its weights in; the model's own by default
 */
export function copyModel(model: CausalLM, dtype: DType = model.dtype): CausalLM {
  const [inFourBits] = fourBitLayers(model);
  if (inFourBits !== undefined)
    throw new CraftError({
      subject: "model",
      value: model.nameOrPath ?? model.modelType,
      reason: `cannot be copied: ${inFourBits[0]} and others are in 4 bits`,
      remedy: "Train adapters, beside which no copy is needed, or load the model without quantisation.",
    });
  const { configJson: json } = model;
  const type = json["model_type"];
  const config = { file: "config", modelType: typeof type === "string" ? type : model.modelType, json };
  const weights = new Map(
    [...model.namedParameters()].map(([name, parameter]) => [model.savedName(name), parameter]),
  );
  const copied = (source: DeviceTensor): DeviceTensor => {
    const copy = DeviceTensor.empty(source.shape, dtype, source.device);
    copy.copyFrom(source);
    return copy;
  };
  const reader: WeightReader = {
    has: (name) => weights.has(name),
    shape: (name) => weights.get(name)!.shape,
    dtype: (name) => weights.get(name)!.dtype,
    read: (name) => copied(weights.get(name)!.value),
    elements: () => {
      throw new Error("Copies are not put into 4 bits.");
    },
  };
  const { device } = model.headWeight().value;
  const copy = architectureOf(config).build(
    config,
    ParameterSource.fromWeights(reader, "model", { dtype, device }),
  );
  copy.setTrainable(false);
  const { untiedHead } = model;
  if (untiedHead !== undefined) copy.untieHead(new Parameter(copied(untiedHead.value), { trainable: false }));
  copy.nameOrPath = model.nameOrPath;
  return copy;
}
