import { CraftError } from "../errors.js";
import { Conv1D } from "../nn/conv1d.js";
import { LayerNorm } from "../nn/layer_norm.js";
import { Linear } from "../nn/linear.js";
import { RMSNorm } from "../nn/rms_norm.js";
import { normalInit } from "../nn/init.js";
import { Random } from "../random.js";
import { Parameter, type Shape, type TensorType } from "../tensor/index.js";
import {
  fourBitShapes,
  heldBy,
  Linear4bit,
  nestedBlockSize,
  quantize,
  quantizeElements,
  tensorsOf,
  transposed,
  type FourBits,
} from "../quantization/index.js";
import { returnLargeBlocks } from "../torch/allocator.js";
import type { Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";
import { readFourBits, storedType } from "./quant_state.js";
import type { Quantization } from "./quantization_config.js";

/** What a checkpoint offers to a model that is being built. */
export interface WeightReader {
  has(name: string): boolean;
  shape(name: string): Shape;
  /** The dtype in the file. */
  dtype(name: string): DType;
  read(name: string, options: { readonly dtype: DType; readonly device: Device }): DeviceTensor;
  /** Gives parts of a tensor, elements from `begin` up to `end`, each valid until the next call. */
  elements(name: string, dtype: DType): (begin: number, end: number) => Uint8Array;
}

interface HeadSizes {
  readonly tieWordEmbeddings: boolean;
  readonly vocabSize: number;
  readonly hiddenSize: number;
}

interface SourceOptions {
  readonly dtype: DType;
  readonly device: Device;
  /** How linear layers are put into 4 bits that are not yet. */
  readonly quantization?: Quantization | undefined;
}

/** Gives the weight [out, in] of the linear layer at a path in 4 bits, if it is one. It may be `turned`, whole as [in, out]. */
type MakeFourBits = (path: string, shape: Matrix, turned: boolean) => Bits | undefined;
type Bits = FourBits<DeviceTensor> | FourBits<TensorType>;
type Matrix = readonly [out: number, input: number];

type Make = (name: string, shape: Shape, initial?: number) => DeviceTensor | TensorType;

/** Gives a model its parameters by name while it is built: from a checkpoint, at random, or as shapes alone. */
export class ParameterSource {
  /** The dtype that the model computes in and stores its parameters in. */
  readonly dtype: DType;
  readonly #make: Make;
  readonly #makeFourBits: MakeFourBits | undefined;
  readonly #made: Parameter[] = [];
  /** Dtype of products with weights in 4 bits. */
  readonly #compute: DType | undefined;

  private constructor(dtype: DType, make: Make, fourBits?: MakeFourBits, compute?: DType) {
    this.dtype = dtype;
    this.#make = make;
    this.#makeFourBits = fourBits;
    this.#compute = compute;
  }

  /** Reads each parameter when it is asked for, so that at most one is held twice. */
  static fromWeights(
    reader: WeightReader,
    file: string,
    { dtype, device, quantization }: SourceOptions,
  ): ParameterSource {
    const requireWhole = (name: string, shape: Shape): void => {
      if (!reader.has(name)) {
        throw new CraftError({
          subject: file,
          value: name,
          reason: "lacks this tensor, which the architecture in config.json needs",
          remedy: "Check that config.json belongs to these weights.",
        });
      }
      if (storedType(reader, name, file) !== undefined)
        throw new CraftError({
          subject: `${file}, tensor ${name}`,
          reason: "is stored in 4 bits, which is supported for linear layers beside the head alone",
          remedy: "Quantise the model again without it (llm_int8_skip_modules), or use the unquantised one.",
        });
      const found = reader.shape(name);
      if (found.join() !== shape.join()) {
        throw new CraftError({
          subject: `${file}, tensor ${name}`,
          value: `[${found.join(", ")}]`,
          reason: `has another shape than config.json says, [${shape.join(", ")}]`,
          remedy: "Check that config.json belongs to these weights.",
        });
      }
    };
    const make = (name: string, shape: Shape): DeviceTensor => {
      requireWhole(name, shape);
      return reader.read(name, { dtype, device });
    };
    const fourBits: MakeFourBits = (path, shape, turned) => {
      const name = `${path}.weight`;
      const type = storedType(reader, name, file);
      if (type !== undefined) return readFourBits(reader, name, type, { file, shape, device });
      if (quantization?.skips(path) !== false) return undefined;
      if (turned) return newFourBits(quantization, path, shape, turned, make);
      requireWhole(name, shape);
      return quantizeElements(
        { shape, dtype, device, read: reader.elements(name, dtype) },
        quantization,
        name,
      );
    };
    return new ParameterSource(dtype, make, fourBits, quantization?.compute);
  }

  /** Normal weights with the given standard deviation; norms are the identity and biases zero. */
  static random(seed: number, std: number, { dtype, device, quantization }: SourceOptions): ParameterSource {
    const make = (name: string, shape: Shape, initial?: number): DeviceTensor =>
      initial === undefined
        ? normalInit(new Random(seed, name), shape, std, dtype, device)
        : DeviceTensor.full(shape, initial, dtype, device);
    const fourBits: MakeFourBits | undefined =
      quantization &&
      ((path, shape, turned) =>
        quantization.skips(path) ? undefined : newFourBits(quantization, path, shape, turned, make));
    return new ParameterSource(dtype, make, fourBits, quantization?.compute);
  }

  /** Parameters without values: for a model that is only looked at, or whose programs are only planned. */
  static shapes(dtype: DType, quantization?: Quantization): ParameterSource {
    const fourBits: MakeFourBits | undefined =
      quantization &&
      ((path, shape) => {
        const { type, double, blockSize = 64 } = quantization;
        const nested = double ? { blockSize: nestedBlockSize, offset: 0 } : undefined;
        return quantization.skips(path)
          ? undefined
          : fourBitShapes({ type, shape, blockSize, dtype, nested });
      });
    const make: Make = (_name, shape) => ({ shape, dtype });
    return new ParameterSource(dtype, make, fourBits, quantization?.compute);
  }

  /** @param initial value of all elements in a model without a checkpoint; random ones by default */
  parameter(name: string, shape: Shape, initial?: number): Parameter {
    const parameter = new Parameter(this.#make(name, shape, initial));
    this.#made.push(parameter);
    return parameter;
  }

  linear(path: string, out: number, input: number, bias: boolean): Linear {
    const bits = this.#makeFourBits?.(path, [out, input], false);
    return bits === undefined ? this.#linear(path, out, input, bias) : this.#linear4bit(path, bits, bias);
  }

  #linear(path: string, out: number, input: number, bias: boolean): Linear {
    const weight = this.parameter(`${path}.weight`, [out, input]);
    return new Linear(weight, bias ? this.parameter(`${path}.bias`, [out], 0) : undefined);
  }

  /** A linear layer whose weight is stored as [in, out]; in 4 bits as [out, in], as transformers does. */
  conv1d(path: string, out: number, input: number): Linear {
    const bits = this.#makeFourBits?.(path, [out, input], true);
    if (bits !== undefined) return this.#linear4bit(path, bits, true);
    const weight = this.parameter(`${path}.weight`, [input, out]);
    return new Conv1D(weight, this.parameter(`${path}.bias`, [out], 0));
  }

  #linear4bit(path: string, bits: Bits, bias: boolean): Linear4bit {
    const held = heldBy<TensorType, Parameter>(bits, (tensor) => new Parameter(tensor, { trainable: false }));
    this.#made.push(...tensorsOf(held));
    if (bits.packed instanceof DeviceTensor) returnLargeBlocks();
    const own = bias ? this.parameter(`${path}.bias`, [bits.shape[0]], 0) : undefined;
    return new Linear4bit(held, own, { weight: this.dtype, compute: this.#compute });
  }

  /** The head, where it is not the embedding table. */
  head({ tieWordEmbeddings, vocabSize, hiddenSize }: HeadSizes): Linear | undefined {
    return tieWordEmbeddings ? undefined : this.#linear("lm_head", vocabSize, hiddenSize, false);
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

/** Makes a weight [out, in], or turned, puts it into 4 bits, and lets go of the whole one. */
function newFourBits(
  quantization: Quantization,
  path: string,
  [out, input]: Matrix,
  turned: boolean,
  make: (name: string, shape: Shape) => DeviceTensor,
): FourBits {
  const name = `${path}.weight`;
  if (!turned) {
    using weight = make(name, [out, input]);
    return quantize(weight, quantization, name);
  }
  using stored = make(name, [input, out]);
  using weight = transposed(stored);
  return quantize(weight, quantization, name);
}
