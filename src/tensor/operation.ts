import type { OperatorKey } from "../torch/dispatcher.js";
import { isFloating, type DType } from "../torch/dtype.js";
import { Tensor, typeName, type Attributes, type Node, type TensorType } from "./tensor.js";

/** An argument of a native call: a tensor of the program, or a value that never changes. */
export type CallArgument =
  Tensor | number | boolean | string | null | readonly (Tensor | number | boolean | null)[];

/** How an operation is computed. */
export type Lowering =
  /** One ATen operator, with an argument for each entry of its schema. */
  | {
      readonly kind: "aten";
      readonly key: OperatorKey;
      readonly args: readonly CallArgument[];
      readonly discard?: number;
    }
  /** a + alpha * b. */
  | { readonly kind: "add"; readonly a: Tensor; readonly b: Tensor; readonly alpha: number }
  /** Another look at the same memory, or undefined if the layout of the input does not allow it. */
  | { readonly kind: "view"; readonly layout: (input: Layout) => Layout | undefined }
  /** Nothing is computed: output i is input `inputs[i]`. */
  | { readonly kind: "alias"; readonly inputs: readonly number[] }
  /** The value comes from outside. */
  | { readonly kind: "leaf" };

/** Sizes and strides in elements, and the offset from the start of the storage. */
export interface Layout {
  readonly sizes: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

export interface VjpArguments {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attributes: Attributes;
  /** Gradients towards the outputs; undefined where nothing depends on one. */
  readonly gradients: readonly (Tensor | undefined)[];
  /** Which inputs want a gradient. A rule may leave the others out. */
  readonly needs: readonly boolean[];
  readonly node: Node;
}

/**
 * Everything there is to know about an operation. The first four fields are required, so that an operation
 * without a shape rule, a gradient rule or a lowering does not compile.
 */
export interface Operation {
  readonly name: string;
  /** Shape rule: the types of the outputs. Throws when the inputs do not fit. */
  infer(inputs: readonly TensorType[], attributes: Attributes): readonly TensorType[];
  /**
   * Vector-Jacobian product: gradients towards the inputs. They may have the broadcast shape or another float
   * dtype; the reverse walk reduces and casts. `"zero"` for operations with no gradient by definition (comparisons,
   * indices), `"none"` for those that must not be differentiated.
   */
  readonly vjp: ((args: VjpArguments) => readonly (Tensor | undefined)[]) | "zero" | "none";
  lower(node: Node): Lowering;
  /**
   * Output strides follow the inputs' as TensorIterator decides (`iterator`), or outputs are contiguous whatever the
   * inputs are (`contiguous`, the default), or inputs are made contiguous first (`strict`).
   */
  readonly layout?: "iterator" | "contiguous" | "strict";
  /** Layouts of the outputs where the operator has its own. */
  outputLayouts?(node: Node): readonly Layout[];
  /** The result lies in memory in an order that only native code knows: nothing may look at it from another side. */
  readonly opaque?: boolean;
  /** What depends on the result is computed in each run, and for each use: never kept, nor shared with an equal value. */
  readonly transient?: boolean;
  /** An ATen operator that overwrites an input with the result, for when nobody needs that input any more. */
  readonly inPlace?: { readonly key: OperatorKey; readonly input: number };
}

let nextId = 0;
let scopePath = "";
let inBackward = false;

/** Names the nodes that `body` creates. Scopes nest with a dot. Rematerialisation and profiles work by scope. */
export function scope<T>(name: string, body: () => T): T {
  const outer = scopePath;
  scopePath = outer === "" ? name : `${outer}.${name}`;
  try {
    return body();
  } finally {
    scopePath = outer;
  }
}

/** Runs `body` with its nodes marked as backward nodes of the given scope. */
export function asBackwardOf<T>(path: string, body: () => T): T {
  const outer = { scopePath, inBackward };
  scopePath = path;
  inBackward = true;
  try {
    return body();
  } finally {
    ({ scopePath, inBackward } = outer);
  }
}

/** Creates a node without checking anything, for passes that rebuild a program. */
export function buildNode(
  operation: Operation,
  inputs: readonly Tensor[],
  attributes: Attributes,
  types: readonly TensorType[],
  payload: unknown,
  place: { readonly scope: string; readonly backward: boolean } = { scope: scopePath, backward: inBackward },
): Node {
  const outputs: Tensor[] = [];
  const node: Node = {
    id: nextId++,
    operation,
    inputs,
    attributes,
    outputs,
    payload,
    scope: place.scope,
    backward: place.backward,
  };
  types.forEach((type, i) => outputs.push(new Tensor(node, i, type)));
  return node;
}

/** A leaf whose output is made afterwards, by a class that is a tensor itself. */
export function buildLeaf(operation: Operation): { readonly node: Node; readonly outputs: Tensor[] } {
  const outputs: Tensor[] = [];
  const attributes: Attributes = {};
  const node = {
    id: nextId++,
    operation,
    inputs: [],
    attributes,
    outputs,
    payload: undefined,
    scope: "",
    backward: false,
  };
  return { node, outputs };
}

/** Applies an operation: checks the inputs with its shape rule and returns its outputs. */
export function applyAll(
  operation: Operation,
  inputs: readonly Tensor[],
  attributes: Attributes = {},
  payload?: unknown,
): readonly Tensor[] {
  let types: readonly TensorType[];
  try {
    types = operation.infer(inputs, attributes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TypeError(`${operation.name}(${inputs.map(typeName).join(", ")}): ${reason}`, { cause });
  }
  return buildNode(operation, inputs, attributes, types, payload).outputs;
}

/** Applies an operation with one output. */
export function apply(operation: Operation, inputs: readonly Tensor[], attributes: Attributes = {}): Tensor {
  return applyAll(operation, inputs, attributes)[0]!;
}

/** Refuses a dtype with a message that names the operation's need. */
export function requireFloat(type: TensorType, what = "input"): void {
  if (!isFloating(type.dtype)) throw new TypeError(`${what} must have a float dtype, got ${type.dtype}`);
}

export function requireDType(type: TensorType, allowed: readonly DType[], what: string): void {
  if (!allowed.includes(type.dtype))
    throw new TypeError(`${what} must be ${allowed.join(" or ")}, got ${type.dtype}`);
}
