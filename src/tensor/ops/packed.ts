/**
 * @file Products with weights in the layout that oneDNN's kernels read. Packing copies the weight once; the products
 * with it then take half the time where there are few rows, as in generation. CPU only, without gradients.
 */
import { apply, requireDType, type Operation } from "../operation.js";
import { sameShape, type Tensor } from "../tensor.js";

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

const packedLinearOperation = register({
  name: "packed_linear",
  infer: ([x, weight, bias]) => {
    const [out, inner] = weight!.shape;
    if (x!.dtype !== weight!.dtype || (bias !== undefined && bias.dtype !== x!.dtype))
      throw new TypeError("input, weight and bias must have one dtype; convert with to()");
    if (x!.shape.length === 0 || x!.shape.at(-1) !== inner)
      throw new TypeError(`the input must end in ${inner}, the columns of the weight`);
    if (bias !== undefined && !sameShape(bias.shape, [out!])) throw new TypeError(`bias must be [${out}]`);
    return [{ shape: [...x!.shape.slice(0, -1), out!], dtype: x!.dtype }];
  },
  vjp: "none",
  lower: ({ inputs: [x, weight, bias] }) => ({
    kind: "aten",
    key: "mkldnn::_linear_pointwise",
    args: [x!, weight!, bias ?? null, "none", [], null],
  }),
  layout: "strict",
} satisfies Operation);

/**
 * x W^T + b as `linear`. Where the weight depends on parameters alone it is packed once and kept beside them for as
 * long as the program.
 *
 * @param x [..., in], float32 or bfloat16
 * @param weight [out, in] in the dtype of x
 * @param bias [out] in the dtype of x
 */
export function packedLinear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const packed = apply(packOperation, [weight]);
  return apply(packedLinearOperation, bias === undefined ? [x, packed] : [x, packed, bias]);
}
