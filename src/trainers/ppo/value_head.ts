/** @file What the policy expects to be rewarded with. */
import { Linear, Module } from "../../nn/index.js";
import { Parameter, reshape, type Tensor } from "../../tensor/index.js";
import { cpu, type Device } from "../../torch/device.js";
import { DeviceTensor } from "../../torch/device_tensor.js";

/**
 * The value of a state: a linear layer on the hidden state of its last token, in float32. It begins at 0, so that the
 * first advantages are the rewards themselves.
 */
export class ValueHead extends Module {
  readonly summary: Linear;

  constructor(hiddenSize: number, device: Device = cpu) {
    super();
    const zeros = (shape: readonly number[]): Parameter =>
      new Parameter(DeviceTensor.full(shape, 0, "float32", device));
    this.summary = new Linear(zeros([1, hiddenSize]), zeros([1]));
  }

  /** @param hidden [n, size]; returns [n] */
  forward(hidden: Tensor): Tensor {
    const wide = hidden.dtype === "float64" ? "float64" : "float32";
    return reshape(this.summary.forward(hidden.to(wide)), [hidden.size(0)]);
  }
}
