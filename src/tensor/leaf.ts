import { isFloating, type DType } from "../torch/dtype.js";
import { buildNode, type Operation } from "./operation.js";
import { numel, type Shape, type Tensor, type TensorType } from "./tensor.js";
import { HostTensor, type NestedNumbers } from "./host_tensor.js";

const leaf = (name: string): Operation => ({
  name,
  infer: () => {
    throw new TypeError(`${name} is a leaf and has no inputs to infer from`);
  },
  vjp: "zero",
  lower: () => ({ kind: "leaf" }),
});

/** A value that is fed at each run. */
export const inputOperation = leaf("input");
/** A value that is part of the program. */
export const constantOperation = leaf("constant");
/** A parameter, read at each run. */
export const parameterOperation = leaf("parameter");

/** A value that was computed before, from parameters alone. */
export const derivedOperation = leaf("derived");

/** A placeholder of the given type. */
export const placeholder = (type: TensorType, name: string): Tensor =>
  buildNode(inputOperation, [], { name }, [type], undefined).outputs[0]!;

/**
 * A tensor whose numbers are part of the program. Numbers and nested arrays become float32 unless `dtype` says
 * otherwise.
 */
export function constant(value: NestedNumbers | HostTensor, dtype?: DType): Tensor {
  const host = value instanceof HostTensor ? value : HostTensor.from(value, dtype);
  return buildNode(constantOperation, [], {}, [{ shape: host.shape, dtype: dtype ?? host.dtype }], host)
    .outputs[0]!;
}

/**
 * The 0-dimensional constant that stands for a number beside `like`. In half precision it keeps float32 accuracy,
 * since a 0-dimensional operand does not decide the dtype of the result.
 */
export function scalarLike(value: number, like: TensorType): Tensor {
  if (!isFloating(like.dtype)) {
    if (Number.isInteger(value)) return constant(value, like.dtype === "bool" ? "int64" : like.dtype);
    return constant(value, "float32");
  }
  const half = like.dtype === "float16" || like.dtype === "bfloat16";
  return constant(value, half && like.shape.length > 0 ? "float32" : like.dtype);
}

/** A tensor with every element equal to `value`. */
export function full(shape: Shape, value: number, dtype: DType = "float32"): Tensor {
  return constant(HostTensor.filled(shape, value, dtype));
}

export const zeros = (shape: Shape, dtype?: DType): Tensor => full(shape, 0, dtype);
export const ones = (shape: Shape, dtype?: DType): Tensor => full(shape, 1, dtype);

/** Integers from `start` to `end`, without `end`, as int64 unless `dtype` says otherwise. */
export function arange(start: number, end: number, dtype: DType = "int64"): Tensor {
  const count = Math.max(0, Math.ceil(end - start));
  return constant(
    new HostTensor(
      Float64Array.from({ length: count }, (_, i) => start + i),
      [count],
      dtype,
    ),
  );
}

/** The constant behind a tensor, if it is one. */
export function constantValue(tensor: Tensor): HostTensor | undefined {
  return tensor.node.operation === constantOperation && tensor.node.payload instanceof HostTensor
    ? tensor.node.payload
    : undefined;
}

/** Whether a tensor is a constant whose elements all equal `value`. */
export function isConstant(tensor: Tensor, value: number): boolean {
  const host = constantValue(tensor);
  if (host === undefined || numel(host.shape) === 0) return false;
  return host.fill === undefined
    ? numel(host.shape) === 1 && Number(host.data[0]) === value
    : host.fill === value;
}
