import type { DType } from "../torch/dtype.js";
import type { Operation } from "./operation.js";

export type Shape = readonly number[];

/** Shape and dtype of a tensor: all that is known of it while a program is traced. */
export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Values that configure an operation and are part of the program's text. */
export type Attribute = number | string | boolean | null | undefined | readonly Attribute[];
export type Attributes = Readonly<Record<string, Attribute>>;

/** One application of an operation. Nodes are immutable; a program is what its outputs reach. */
export interface Node {
  readonly id: number;
  readonly operation: Operation;
  readonly inputs: readonly Tensor[];
  readonly attributes: Attributes;
  readonly outputs: readonly Tensor[];
  /** What a leaf stands for, or the backward function of a custom node. */
  readonly payload: unknown;
  /** The part of the model that this node belongs to, e.g. `layers.3`; backward nodes carry their forward node's. */
  readonly scope: string;
  readonly backward: boolean;
}

/**
 * A symbolic tensor: a shape, a dtype and the node that makes it. It holds no numbers. Functions of tensors are
 * traced into programs with `compile`, `grad` and `valueAndGrad`. Methods are named and behave as in PyTorch; they
 * are the functions of `tensor/ops`, with the tensor itself as first argument.
 */
export class Tensor implements TensorType {
  readonly node: Node;
  /** Which of the node's outputs this is. */
  readonly index: number;
  readonly shape: Shape;
  readonly dtype: DType;

  constructor(node: Node, index: number, type: TensorType) {
    this.node = node;
    this.index = index;
    this.shape = type.shape;
    this.dtype = type.dtype;
  }

  /** Number of dimensions. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get numel(): number {
    return numel(this.shape);
  }

  /** Size of a dimension; negative ones count from the end. */
  size(dim: number): number {
    return this.shape[normalizeDim(dim, this.ndim)]!;
  }
}

export const numel = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

export const typeName = ({ dtype, shape }: TensorType): string => `${dtype}[${shape.join(", ")}]`;

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** Turns a dimension that may count from the end into one that counts from the start. */
export function normalizeDim(dim: number, ndim: number): number {
  const range = Math.max(1, ndim);
  if (!Number.isInteger(dim) || dim < -range || dim >= range) {
    throw new RangeError(`dim = ${dim}: a tensor with ${ndim} dimensions takes ${-range} to ${range - 1}.`);
  }
  return dim < 0 ? dim + range : dim;
}
