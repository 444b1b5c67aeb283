/** @file What memory training needs, planned from the shapes of a model: nothing is loaded and nothing computed. */
import type { CausalLM } from "../models/causal_lm.js";
import {
  beforeWidening,
  bytesOf,
  gradients,
  Parameter,
  placeholder,
  programMemory,
  sum,
  withRandomKey,
  type Tensor,
} from "../tensor/index.js";
import { dtypeBytes, type DType } from "../torch/dtype.js";
import { SFTObjective } from "./sft/objective.js";

/** A micro-batch of rows that are all as long, each of whose tokens is a label. */
export interface BatchShape {
  readonly rows: number;
  readonly length: number;
  readonly gradientCheckpointing?: boolean;
}

/** Bytes by what they are for, at the moment of a step when most is held. An estimate: see {@link trainingMemory}. */
export interface TrainingMemory {
  /** Frozen weights as they are stored, and trained ones in float32. */
  readonly weights: number;
  /** What is computed from weights and kept: their casts and joined copies. */
  readonly derived: number;
  /** AdamW's two moments, float32. */
  readonly optimizer: number;
  /** Intermediate values and gradients. */
  readonly activations: number;
  readonly total: number;
}

/** A trained number has a float32 value and AdamW's two moments. */
export const bytesPerTrained = 12;

/** About what Node, this package with its traced programs, and libtorch take for themselves in a training process. */
export const processBytes = 350e6;

/**
 * What a process needs for steps of supervised fine-tuning, one micro-batch each. The step's program is traced and
 * planned as it is in training, and its values are followed from the call that makes them to the last that reads them.
 * Not counted is what single native calls take while they run, nor what the allocator loses between blocks.
 *
 * @param model as it is trained, with or without values: adapters attached, layers in 4 bits, parameters trainable or not
 */
export function trainingMemory(model: CausalLM, batch: BatchShape): TrainingMemory {
  toMasterTypes(model);
  const trained = model.trainableParameters();
  const count = trained.reduce((total, { numel }) => total + numel, 0);
  const { inputs, outputs } = trainingStep(model, batch, trained);
  const checkpointing = batch.gradientCheckpointing === true;
  const program = programMemory(inputs, outputs, { rematerialize: checkpointing ? "layers" : "none" });
  // Gradients are widened to float32 once the program's own values are gone.
  const activations = Math.max(program.peak, 4 * count);
  const parts = { weights: weightBytes(model), derived: program.kept, optimizer: 8 * count, activations };
  const total = Object.values(parts).reduce((a, b) => a + b, processBytes);
  return { ...parts, total };
}

/**
 * Bytes of the intermediate values and gradients of one forward and backward pass through the model's layers, without
 * its head: what rows need of which one vector each is taken, as contrastive ones.
 */
export function encodingBytes(model: CausalLM, { rows, length }: BatchShape): number {
  const inputIds = placeholder({ shape: [rows, length], dtype: "int64" }, "inputIds");
  const at = placeholder({ shape: [rows], dtype: "int64" }, "at");
  const pooled = sum(model.hiddenStates(inputIds, { at }));
  const outputs = gradients(pooled, model.trainableParameters()).map(beforeWidening);
  return programMemory([inputIds, at], [pooled, ...outputs]).peak;
}

/** All parameters, each as it is stored. */
export const weightBytes = (model: CausalLM): number =>
  everyParameter(model).reduce((total, parameter) => total + bytesOf(parameter), 0);

/** The parameters of the model and its adapters, a head of its own included. */
function everyParameter(model: CausalLM): Parameter[] {
  const { untiedHead } = model;
  return [...new Set([...model.parameters(), ...(untiedHead === undefined ? [] : [untiedHead])])];
}

/** The program of a training micro-batch: the loss, its weight, and the gradients. */
function trainingStep(
  model: CausalLM,
  { rows, length }: BatchShape,
  trained: readonly Parameter[],
): { readonly inputs: Tensor[]; readonly outputs: Tensor[] } {
  const feed = (name: string, shape: readonly number[], dtype: DType = "int64"): Tensor =>
    placeholder({ shape, dtype }, name);
  const labels = rows * (length - 1);
  const feeds = {
    inputIds: feed("inputIds", [rows, length]),
    positions: feed("positions", [labels]),
    labels: feed("labels", [labels]),
    weights: feed("weights", [labels], "float32"),
  };
  const key = feed("key", [2], "int32");
  return withRandomKey(key, () => {
    const { sft } = new SFTObjective().loss(model, feeds);
    const towards = gradients(sft.sum, trained).map(beforeWidening);
    return { inputs: [...Object.values(feeds), key], outputs: [sft.sum, sft.weight, ...towards] };
  });
}

/** Trainable parameters in the float32 that training keeps them in, as shapes. */
function toMasterTypes(model: CausalLM): void {
  model.replaceParameters((parameter) =>
    parameter.trainable && dtypeBytes(parameter.dtype) < 4
      ? new Parameter({ shape: parameter.shape, dtype: "float32" })
      : undefined,
  );
}
