/** @file Turns a program into a flat list of native calls over numbered slots. */
import { dtypeBytes, type DType } from "../torch/dtype.js";
import type { OperatorKey } from "../torch/dispatcher.js";
import type { Graph } from "./graph.js";
import {
  constantOperation,
  constantValue,
  derivedOperation,
  inputOperation,
  parameterOperation,
} from "./leaf.js";
import { contiguousLayout, isContiguous, iteratorLayout, sameLayout } from "./layout.js";
import type { CallArgument, Layout, Lowering, Operation } from "./operation.js";
import { numel, Tensor, typeName, type Node } from "./tensor.js";

/** Memory of one result. Several values may look at it. */
export interface Storage {
  readonly slot: number;
  readonly layout: Layout;
  readonly dtype: DType;
  /** Whether the plan may free or overwrite it. Parameters, constants and lent inputs are not its own. */
  readonly owned: boolean;
  /** Whether sizes and strides say nothing about the memory. */
  readonly opaque: boolean;
}

/** A slot, or a value that never changes, as an argument of a planned call. */
export type PlannedArgument =
  { readonly slot: number } | number | boolean | string | null | readonly PlannedItem[];
type PlannedItem = { readonly slot: number } | number | boolean | null;

export type Step = {
  readonly label: string;
  readonly writes: readonly number[];
  readonly reads: readonly number[];
} & (
  | {
      readonly kind: "aten";
      readonly key: OperatorKey;
      readonly args: readonly PlannedArgument[];
      /** The slot whose memory the result takes over. */
      readonly overwrites?: number;
    }
  | { readonly kind: "add"; readonly a: number; readonly b: number; readonly alpha: number }
  | { readonly kind: "view"; readonly source: number; readonly layout: Layout }
  | {
      readonly kind: "fill";
      readonly shape: readonly number[];
      readonly dtype: DType;
      readonly value: number;
    }
);

/** Which slot a leaf's handle goes into before a run. */
export interface Binding {
  readonly tensor: Tensor;
  readonly slot: number;
}

export interface Plan {
  readonly steps: readonly Step[];
  readonly slots: number;
  readonly storages: ReadonlyMap<number, Storage>;
  readonly inputs: readonly Binding[];
  readonly parameters: readonly Binding[];
  readonly constants: readonly Binding[];
  readonly derived: readonly Binding[];
  /** Slots of the outputs; the same slot may occur twice. */
  readonly outputs: readonly number[];
}

interface Value {
  readonly storage: Storage;
  readonly layout: Layout;
}

/** Filled constants above this size are made anew at each run instead of being kept. */
const keptFill = 4096;

/**
 * Plans a program. `donated` inputs belong to the plan: their memory may be overwritten and is freed.
 * Outputs are contiguous and never share memory with anything else.
 */
export function plan(graph: Graph, donated: ReadonlySet<Tensor> = new Set()): Plan {
  return new Planner(graph, donated).plan();
}

class Planner {
  readonly #graph: Graph;
  readonly #donated: ReadonlySet<Tensor>;
  readonly #values = new Map<Tensor, Value>();
  readonly #steps: Step[] = [];
  readonly #storages = new Map<number, Storage>();
  readonly #views = new Map<number, { layout: Layout; slot: number }[]>();
  /** The tensor whose memory a view or alias looks at, as far as that is known before layouts are. */
  readonly #roots = new Map<Tensor, Tensor>();
  /** Index of the last node that reads a root tensor's memory, through whatever view. */
  readonly #lastUse = new Map<Tensor, number>();
  /** The same for each storage, by slot. */
  readonly #storageUse = new Map<number, number>();
  readonly #bindings = {
    inputs: [] as Binding[],
    parameters: [] as Binding[],
    constants: [] as Binding[],
    derived: [] as Binding[],
  };
  #slots = 0;

  constructor(graph: Graph, donated: ReadonlySet<Tensor>) {
    this.#graph = graph;
    this.#donated = donated;
  }

  plan(): Plan {
    const { nodes, inputs, outputs } = this.#graph;
    const lowered = nodes.map((node) => node.operation.lower(node));
    this.#findLastUses(lowered);
    for (const input of inputs) this.#bindLeaf(input);
    nodes.forEach((node, i) => this.#emit(node, lowered[i]!, i));
    const slots = outputs.map((t, i) => this.#outputSlot(t, outputs.indexOf(t) < i));
    return {
      steps: this.#steps,
      slots: this.#slots,
      storages: this.#storages,
      ...this.#bindings,
      outputs: slots,
    };
  }

  #rootOf(t: Tensor): Tensor {
    return this.#roots.get(t) ?? t;
  }

  #findLastUses(lowered: readonly Lowering[]): void {
    this.#graph.nodes.forEach((node, i) => {
      const how = lowered[i]!;
      if (how.kind === "view") this.#roots.set(node.outputs[0]!, this.#rootOf(node.inputs[0]!));
      else if (how.kind === "alias")
        node.outputs.forEach((t, k) => this.#roots.set(t, this.#rootOf(node.inputs[how.inputs[k]!]!)));
      else for (const t of node.inputs) this.#lastUse.set(this.#rootOf(t), i);
    });
    for (const t of this.#graph.outputs) this.#lastUse.set(this.#rootOf(t), Infinity);
  }

  #define(t: Tensor, value: Value): void {
    this.#values.set(t, value);
    const use = this.#lastUse.get(this.#rootOf(t)) ?? -1;
    const { slot } = value.storage;
    this.#storageUse.set(slot, Math.max(use, this.#storageUse.get(slot) ?? -1));
  }

  #newStorage(layout: Layout, dtype: DType, owned: boolean, opaque = false): Storage {
    const storage = { slot: this.#slots++, layout, dtype, owned, opaque };
    this.#storages.set(storage.slot, storage);
    return storage;
  }

  #bindLeaf(t: Tensor): void {
    if (this.#values.has(t)) return;
    const { operation } = t.node;
    const layout = contiguousLayout(t.shape);
    const host = constantValue(t);
    if (host?.fill !== undefined && t.numel > keptFill) {
      const storage = this.#newStorage(layout, t.dtype, true);
      this.#steps.push({
        kind: "fill",
        label: "fill",
        reads: [],
        writes: [storage.slot],
        shape: t.shape,
        dtype: t.dtype,
        value: host.fill,
      });
      this.#define(t, { storage, layout });
      return;
    }
    const storage = this.#newStorage(layout, t.dtype, this.#donated.has(t));
    this.#define(t, { storage, layout });
    const binding = { tensor: t, slot: storage.slot };
    if (operation === inputOperation) this.#bindings.inputs.push(binding);
    else if (operation === parameterOperation) this.#bindings.parameters.push(binding);
    else if (operation === constantOperation) this.#bindings.constants.push(binding);
    else if (operation === derivedOperation) this.#bindings.derived.push(binding);
    else throw new Error(`${operation.name} is no leaf that can be bound.`);
  }

  #valueOf(t: Tensor): Value {
    if (t.node.inputs.length === 0 && !this.#values.has(t)) this.#bindLeaf(t);
    const value = this.#values.get(t);
    if (value === undefined)
      throw new Error(`${typeName(t)} of ${t.node.operation.name} is used before it is made.`);
    return value;
  }

  /** The slot that holds a handle with exactly the layout of the value. */
  #slotOf(value: Value): number {
    const { storage, layout } = value;
    if (sameLayout(storage.layout, layout)) return storage.slot;
    if (storage.opaque) throw new Error("A value in a layout of native code's own cannot be viewed.");
    const views = this.#views.get(storage.slot) ?? [];
    this.#views.set(storage.slot, views);
    const known = views.find((v) => sameLayout(v.layout, layout));
    if (known !== undefined) return known.slot;
    const slot = this.#slots++;
    this.#storages.set(slot, { slot, layout, dtype: storage.dtype, owned: true, opaque: false });
    this.#steps.push({
      kind: "view",
      label: "view",
      source: storage.slot,
      layout,
      reads: [storage.slot],
      writes: [slot],
    });
    views.push({ layout, slot });
    return slot;
  }

  /** A contiguous copy of a value, in memory of its own. */
  #copy(value: Value, dtype: DType): Value {
    const source = this.#slotOf(value);
    const storage = this.#newStorage(contiguousLayout(value.layout.sizes), dtype, true);
    this.#steps.push({
      kind: "aten",
      label: "contiguous",
      key: "clone",
      args: [{ slot: source }, 0],
      reads: [source],
      writes: [storage.slot],
    });
    return { storage, layout: storage.layout };
  }

  #outputSlot(t: Tensor, again: boolean): number {
    const value = this.#valueOf(t);
    const whole = sameLayout(value.storage.layout, value.layout) && isContiguous(value.layout);
    const shared = [...this.#graph.outputs].some(
      (o) => o !== t && this.#valueOf(o).storage === value.storage,
    );
    if (value.storage.owned && whole && !again && !shared) return value.storage.slot;
    return this.#copy(value, t.dtype).storage.slot;
  }

  #emit(node: Node, how: Lowering, index: number): void {
    switch (how.kind) {
      case "leaf":
        return; // bound when first read, so that fills stand beside their use
      case "alias":
        return node.outputs.forEach((t, i) => this.#define(t, this.#valueOf(node.inputs[how.inputs[i]!]!)));
      case "view": {
        const input = this.#valueOf(node.inputs[0]!);
        const layout = how.layout(input.layout);
        if (layout !== undefined)
          return void this.#define(node.outputs[0]!, { storage: input.storage, layout });
        const copy = this.#copy(input, node.outputs[0]!.dtype);
        return void this.#define(node.outputs[0]!, {
          storage: copy.storage,
          layout: how.layout(copy.layout)!,
        });
      }
      case "add": {
        const [a, b] = [this.#valueOf(how.a), this.#valueOf(how.b)];
        const [sa, sb] = [this.#slotOf(a), this.#slotOf(b)];
        const storage = this.#newStorage(
          this.#resultLayout(node, [how.a, how.b]),
          node.outputs[0]!.dtype,
          true,
        );
        this.#steps.push({
          kind: "add",
          label: label(node),
          a: sa,
          b: sb,
          alpha: how.alpha,
          reads: [sa, sb],
          writes: [storage.slot],
        });
        return void this.#define(node.outputs[0]!, { storage, layout: storage.layout });
      }
      case "aten":
        return this.#emitCall(node, how.key, how.args, index);
    }
  }

  #emitCall(node: Node, key: OperatorKey, args: readonly CallArgument[], index: number): void {
    const { operation } = node;
    const reads: number[] = [];
    const strict = operation.layout === "strict";
    const toSlot = (t: Tensor): { slot: number } => {
      let value = this.#valueOf(t);
      if (strict && !isContiguous(value.layout)) {
        value = this.#copy(value, t.dtype);
        this.#define(t, value);
      }
      const slot = this.#slotOf(value);
      reads.push(slot);
      return { slot };
    };
    const planned = args.map((arg): PlannedArgument => {
      if (arg instanceof Tensor) return toSlot(arg);
      if (Array.isArray(arg))
        return arg.map((item: Tensor | number | boolean | null) =>
          item instanceof Tensor ? toSlot(item) : item,
        );
      return arg as number | boolean | string | null;
    });
    const overwritten = this.#overwritten(node, index);
    if (overwritten !== undefined) {
      const storage = this.#newStorage(overwritten.layout, node.outputs[0]!.dtype, true);
      this.#steps.push({
        kind: "aten",
        label: label(node),
        key: operation.inPlace!.key,
        args: planned,
        reads,
        writes: [storage.slot],
        overwrites: overwritten.storage.slot,
      });
      return void this.#define(node.outputs[0]!, { storage, layout: storage.layout });
    }
    const own = operation.outputLayouts?.(node);
    const writes = node.outputs.map((t, i) => {
      const followed = i === 0 && operation.layout === "iterator";
      const layout =
        own?.[i] ?? (followed ? this.#resultLayout(node, node.inputs) : contiguousLayout(t.shape));
      const storage = this.#newStorage(layout, t.dtype, true, operation.opaque === true);
      this.#define(t, { storage, layout });
      return storage.slot;
    });
    this.#steps.push({ kind: "aten", label: label(node), key, args: planned, reads, writes });
  }

  #resultLayout(node: Node, operands: readonly Tensor[]): Layout {
    const layouts = operands.map((t) => this.#valueOf(t).layout);
    return iteratorLayout(
      layouts,
      node.outputs[0]!.shape,
      operands.map((t) => dtypeBytes(t.dtype)),
    );
  }

  /** The input that the result may overwrite: its memory is the plan's own and nothing reads it afterwards. */
  #overwritten(node: Node, index: number): Value | undefined {
    const rule: Operation["inPlace"] = node.operation.inPlace;
    if (rule === undefined) return undefined;
    const input = node.inputs[rule.input]!;
    const output = node.outputs[0]!;
    const value = this.#valueOf(input);
    const { storage } = value;
    if (
      !storage.owned ||
      !sameLayout(storage.layout, value.layout) ||
      numel(storage.layout.sizes) !== output.numel
    )
      return undefined;
    if (
      input.dtype !== output.dtype ||
      input.shape.length !== output.shape.length ||
      input.shape.some((n, i) => n !== output.shape[i])
    )
      return undefined;
    if (node.inputs.some((t, i) => i !== rule.input && this.#valueOf(t).storage === storage))
      return undefined;
    return (this.#storageUse.get(storage.slot) ?? -1) > index ? undefined : value;
  }
}

const label = (node: Node): string => {
  const name = node.backward ? `${node.operation.name} (backward)` : node.operation.name;
  return node.scope === "" ? name : `${node.scope}/${name}`;
};
