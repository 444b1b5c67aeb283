import { Linear, Module, xavierUniform } from "../../nn/index.js";
import { Random } from "../../random.js";
import { dropout, gelu, Parameter, type Tensor } from "../../tensor/index.js";
import { cpu, type Device } from "../../torch/device.js";
import { DeviceTensor } from "../../torch/device_tensor.js";

export interface ProjectionHeadOptions {
  /** Size of what comes in. */
  readonly hiddenSize: number;
  /** Size of what goes out. */
  readonly projectionDim: number;
  /** Dropout between the two layers in training, in [0, 1). Default 0. */
  readonly dropout?: number;
  /** Of the weights. Default 0. */
  readonly seed?: number;
  readonly device?: Device;
}

/**
 * Linear(h, h), GELU by the error function, dropout, Linear(h, d): maps pooled hidden states to the space in which
 * texts are compared (Chen et al. 2020). Weights are Xavier-uniform and biases 0, all in float32.
 */
export class ProjectionHead extends Module {
  readonly hidden: Linear;
  readonly output: Linear;
  readonly #dropout: number;

  constructor({ hiddenSize, projectionDim, dropout = 0, seed = 0, device = cpu }: ProjectionHeadOptions) {
    super();
    const layer = (name: string, out: number): Linear =>
      new Linear(
        new Parameter(
          xavierUniform(new Random(seed, "projection_head", name), [out, hiddenSize], "float32", device),
        ),
        new Parameter(DeviceTensor.full([out], 0, "float32", device)),
      );
    this.hidden = layer("hidden", hiddenSize);
    this.output = layer("output", projectionDim);
    this.#dropout = dropout;
  }

  /** @param pooled [n, h]; returns [n, d]. */
  forward(pooled: Tensor): Tensor {
    return this.output.forward(dropout(gelu(this.hidden.forward(pooled)), this.#dropout));
  }
}
