/** @file Nested arrays and objects with tensors at their leaves, as the arguments and results of traced functions. */
import { CraftError } from "../errors.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { HostTensor } from "./host_tensor.js";
import { Tensor } from "./tensor.js";

/** What may be fed where a traced function takes a Tensor. */
export type Feed = DeviceTensor | HostTensor;

/** The arguments that a compiled function takes: feeds where the traced function takes tensors. */
export type Fed<T> = T extends Tensor
  ? Feed
  : T extends (...args: never[]) => unknown
    ? T
    : T extends readonly unknown[] | Readonly<Record<string, unknown>>
      ? { [K in keyof T]: Fed<T[K]> }
      : T;

/** The results of a compiled function: device tensors where the traced function returns tensors. */
export type Materialized<T> = T extends Tensor
  ? DeviceTensor
  : T extends readonly unknown[] | Readonly<Record<string, unknown>>
    ? { [K in keyof T]: Materialized<T[K]> }
    : T;

const isFeed = (value: unknown): value is Feed =>
  value instanceof DeviceTensor || value instanceof HostTensor;

const isPlain = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

/** Replaces each leaf for which `visit` returns something; `path` names it, e.g. `args[0].weights.w1`. */
function mapTree(value: unknown, path: string, visit: (leaf: unknown, path: string) => unknown): unknown {
  const replaced = visit(value, path);
  if (replaced !== undefined) return replaced;
  if (Array.isArray(value)) return value.map((item, i) => mapTree(item, `${path}[${i}]`, visit));
  if (!isPlain(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, mapTree(item, `${path}.${key}`, visit)]),
  );
}

/** The tensors of a tree, in order of their place. */
export function treeTensors(tree: unknown): Tensor[] {
  const found: Tensor[] = [];
  mapTree(tree, "", (leaf) => {
    if (!(leaf instanceof Tensor)) return undefined;
    found.push(leaf);
    return leaf;
  });
  return found;
}

/** Puts `values`, in the order of {@link treeTensors}, in the places of the tree's tensors. */
export function replaceTensors(tree: unknown, values: readonly unknown[]): unknown {
  let i = 0;
  return mapTree(tree, "", (leaf) => (leaf instanceof Tensor ? values[i++] : undefined));
}

export interface FlatFeed {
  readonly path: string;
  readonly feed: Feed;
}

const objectIds = new WeakMap<object, number>();
let nextObjectId = 0;

const idOf = (value: object): number => {
  let id = objectIds.get(value);
  if (id === undefined) objectIds.set(value, (id = nextObjectId++));
  return id;
};

/**
 * Splits arguments into what is fed and what configures the program. Numbers, strings and booleans are part of the
 * signature: each distinct value is traced anew. Objects of a class (a module, say) count by identity.
 */
export function flattenArguments(args: readonly unknown[]): { feeds: FlatFeed[]; signature: string } {
  const feeds: FlatFeed[] = [];
  const parts: string[] = [];
  const visit = (value: unknown, path: string): void => {
    if (isFeed(value)) {
      feeds.push({ path, feed: value });
      parts.push(`${value.dtype}[${value.shape.join()}]`);
    } else if (value instanceof Tensor) {
      throw new CraftError({
        subject: path,
        reason: "is a symbolic tensor, which has no numbers to run with",
        remedy: "Pass tensor(...) or a DeviceTensor; call the traced function itself inside another.",
      });
    } else if (Array.isArray(value)) {
      parts.push("(");
      value.forEach((item, i) => visit(item, `${path}[${i}]`));
      parts.push(")");
    } else if (isPlain(value)) {
      parts.push("{");
      for (const [key, item] of Object.entries(value)) {
        parts.push(JSON.stringify(key));
        visit(item, `${path}.${key}`);
      }
      parts.push("}");
    } else if ((typeof value === "object" && value !== null) || typeof value === "function") {
      if (ArrayBuffer.isView(value)) {
        throw new CraftError({
          subject: path,
          reason: "is a typed array without a shape",
          remedy: "Wrap it: new HostTensor(data, shape, dtype).",
        });
      }
      parts.push(`#${idOf(value)}`);
    } else {
      parts.push(
        typeof value === "string" ? JSON.stringify(value) : Object.is(value, -0) ? "-0" : String(value),
      );
    }
  };
  args.forEach((arg, i) => visit(arg, `args[${i}]`));
  return { feeds, signature: parts.join(" ") };
}

/** The arguments with each feed replaced, in the order of {@link flattenArguments}. */
export function replaceFeeds(args: readonly unknown[], values: readonly unknown[]): unknown[] {
  let i = 0;
  return args.map((arg) => mapTree(arg, "", (leaf) => (isFeed(leaf) ? values[i++] : undefined)));
}
