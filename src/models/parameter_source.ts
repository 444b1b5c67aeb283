import { CraftError } from "../errors.js";
import { Conv1D } from "../nn/conv1d.js";
import { LayerNorm } from "../nn/layer_norm.js";
import { Linear } from "../nn/linear.js";
import { RMSNorm } from "../nn/rms_norm.js";
import { normalInit } from "../nn/init.js";
import { Random } from "../random.js";
import { Parameter, type Shape, type TensorType } from "../tensor/index.js";
import type { Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";

/** What a checkpoint offers to a model that is being built. */
export interface WeightReader {
  has(name: string): boolean;
  shape(name: string): Shape;
  read(name: string, options: { readonly dtype: DType; readonly device: Device }): DeviceTensor;
}

interface HeadSizes {
  readonly tieWordEmbeddings: boolean;
  readonly vocabSize: number;
  readonly hiddenSize: number;
}

interface SourceOptions {
  readonly dtype: DType;
  readonly device: Device;
}

type Make = (name: string, shape: Shape, initial?: number) => DeviceTensor | TensorType;

/** Gives a model its parameters by name while it is built: from a checkpoint, at random, or as shapes alone. */
export class ParameterSource {
  /** The dtype that the model computes in and stores its parameters in. */
  readonly dtype: DType;
  readonly #make: Make;
  readonly #made: Parameter[] = [];

  private constructor(dtype: DType, make: Make) {
    this.dtype = dtype;
    this.#make = make;
  }

  /** Reads each parameter when it is asked for, so that at most one is held twice. */
  static fromWeights(reader: WeightReader, file: string, { dtype, device }: SourceOptions): ParameterSource {
    return new ParameterSource(dtype, (name, shape) => {
      if (!reader.has(name)) {
        throw new CraftError({
          subject: file,
          value: name,
          reason: "lacks this tensor, which the architecture in config.json needs",
          remedy: "Check that config.json belongs to these weights.",
        });
      }
      const found = reader.shape(name);
      if (found.join() !== shape.join()) {
        throw new CraftError({
          subject: `${file}, tensor ${name}`,
          value: `[${found.join(", ")}]`,
          reason: `has another shape than config.json says, [${shape.join(", ")}]`,
          remedy: "Check that config.json belongs to these weights.",
        });
      }
      return reader.read(name, { dtype, device });
    });
  }

  /** Normal weights with the given standard deviation; norms are the identity and biases zero. */
  static random(seed: number, std: number, { dtype, device }: SourceOptions): ParameterSource {
    return new ParameterSource(dtype, (name, shape, initial) => {
      if (initial !== undefined) return DeviceTensor.full(shape, initial, dtype, device);
      return normalInit(new Random(seed, name), shape, std, dtype, device);
    });
  }

  /** Parameters without values: for a model that is only looked at, or whose programs are only planned. */
  static shapes(dtype: DType): ParameterSource {
    return new ParameterSource(dtype, (_name, shape) => ({ shape, dtype }));
  }

  /** @param initial value of all elements in a model without a checkpoint; random ones by default */
  parameter(name: string, shape: Shape, initial?: number): Parameter {
    const parameter = new Parameter(this.#make(name, shape, initial));
    this.#made.push(parameter);
    return parameter;
  }

  linear(path: string, out: number, input: number, bias: boolean): Linear {
    const weight = this.parameter(`${path}.weight`, [out, input]);
    return new Linear(weight, bias ? this.parameter(`${path}.bias`, [out], 0) : undefined);
  }

  /** A linear layer whose weight is stored as [in, out]. */
  conv1d(path: string, out: number, input: number): Conv1D {
    const weight = this.parameter(`${path}.weight`, [input, out]);
    return new Conv1D(weight, this.parameter(`${path}.bias`, [out], 0));
  }

  /** The head, where it is not the embedding table. */
  head({ tieWordEmbeddings, vocabSize, hiddenSize }: HeadSizes): Linear | undefined {
    return tieWordEmbeddings ? undefined : this.linear("lm_head", vocabSize, hiddenSize, false);
  }

  layerNorm(path: string, size: number, eps: number): LayerNorm {
    const weight = this.parameter(`${path}.weight`, [size], 1);
    return new LayerNorm(weight, this.parameter(`${path}.bias`, [size], 0), eps);
  }

  /** @param offset see {@link RMSNorm} */
  rmsNorm(path: string, size: number, eps: number, offset: 0 | 1 = 0): RMSNorm {
    return new RMSNorm(this.parameter(`${path}.weight`, [size], 1 - offset), eps, offset);
  }

  /** Frees all parameters given so far: for a model whose building failed. */
  discard(): void {
    for (const parameter of this.#made) parameter.dispose();
  }
}
