/**
 * @file Products with weights in the layout that oneDNN's kernels read. Packing copies the weight once; the products
 * with it then take half the time where there are few rows, as in generation. CPU only, without gradients.
 */
import { apply, requireDType, type Operation } from "../operation.js";
import { sameShape, type Tensor, type TensorType } from "../tensor.js";

export const operations: Record<string, Operation> = {};

const register = <T extends Operation>(operation: T): T => {
  operations[operation.name] = operation;
  return operation;
};

const packOperation = register({
  name: "pack_linear_weight",
  infer: ([weight]) => {
    requireDType(weight!, ["float32", "bfloat16"], "the weight");
    if (weight!.shape.length !== 2) throw new TypeError("the weight must be a matrix");
    return [{ shape: weight!.shape, dtype: weight!.dtype }];
  },
  vjp: "none",
  lower: ({ inputs: [weight] }) => ({
    kind: "aten",
    key: "mkldnn::_reorder_linear_weight",
    args: [weight!, null],
  }),
  layout: "strict",
  opaque: true,
} satisfies Operation);

/** Type of x W^T + b; `bias` is undefined where there is none. */
function productType(x: TensorType, weight: TensorType, bias: TensorType | undefined): TensorType {
  if (x.dtype !== weight.dtype || (bias !== undefined && bias.dtype !== x.dtype))
    throw new TypeError("input, weight and bias must have one dtype; convert with to()");
  if (x.shape.length === 0 || x.shape.at(-1) !== weight.shape[1])
    throw new TypeError(`the input must end in ${weight.shape[1]}, the columns of the weight`);
  if (bias !== undefined && !sameShape(bias.shape, [weight.shape[0]!]))
    throw new TypeError(`bias must be [${weight.shape[0]}]`);
  return { shape: [...x.shape.slice(0, -1), weight.shape[0]!], dtype: x.dtype };
}

const packedLinearOperation = register({
  name: "packed_linear",
  infer: ([x, weight, bias]) => [productType(x!, weight!, bias)],
  vjp: "none",
  lower: ({ inputs: [x, weight, bias], attributes: { activation } }) => ({
    kind: "aten",
    key: "mkldnn::_linear_pointwise",
    args: [x!, weight!, bias ?? null, String(activation), [], null],
  }),
  layout: "strict",
} satisfies Operation);

const packedLinearTimesOperation = register({
  name: "packed_linear_times",
  infer: ([x, factor, weight, bias]) => {
    const type = productType(x!, weight!, bias);
    if (factor!.dtype !== type.dtype || !sameShape(factor!.shape, type.shape))
      throw new TypeError("the factor must have shape and dtype of the product");
    return [type];
  },
  vjp: "none",
  lower: ({ inputs: [x, factor, weight, bias] }) => ({
    kind: "aten",
    key: "mkldnn::_linear_pointwise.binary",
    args: [x!, factor!, weight!, bias ?? null, "mul"],
  }),
  layout: "strict",
} satisfies Operation);

export interface PackedLinearOptions {
  readonly bias?: Tensor | undefined;
  /** Applied to the product. Default `none`. */
  readonly activation?: "none" | "relu" | "sigmoid" | "silu" | "tanh";
}

/** The same functions as oneDNN's kernels name them. */
const activations = { none: "none", relu: "relu", sigmoid: "sigmoid", silu: "swish", tanh: "tanh" } as const;

const withBias = (bias: Tensor | undefined): readonly Tensor[] => (bias === undefined ? [] : [bias]);

/**
 * activation(x W^T + b). Where the weight depends on parameters alone it is packed once and kept beside them for as
 * long as the program.
 *
 * @param x [..., in], float32 or bfloat16
 * @param weight [out, in] in the dtype of x
 */
export function packedLinear(x: Tensor, weight: Tensor, options: PackedLinearOptions = {}): Tensor {
  const { bias, activation = "none" } = options;
  const inputs = [x, apply(packOperation, [weight]), ...withBias(bias)];
  return apply(packedLinearOperation, inputs, { activation: activations[activation] });
}

/**
 * factor * (x W^T + b), as {@link packedLinear}.
 *
 * @param factor [..., out] in the dtype of x
 */
export function packedLinearTimes(x: Tensor, factor: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  return apply(packedLinearTimesOperation, [x, factor, apply(packOperation, [weight]), ...withBias(bias)]);
}
