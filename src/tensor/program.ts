/** @file A compiled program: plan, constants and derived values, ready to be fed. */
import { CraftError } from "../errors.js";
import type { Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { Loans, uploadConstants } from "./bind.js";
import { currentDerived, releaseDerived, retainDerived } from "./derived_cache.js";
import { Executable } from "./execute.js";
import { verifyGraph, type Graph } from "./graph.js";
import { mergeCommonSubexpressions } from "./passes/common_subexpressions.js";
import { hoist, type Derived } from "./passes/hoist.js";
import { layerScopes, rematerialize } from "./passes/rematerialize.js";
import { plan, type Plan } from "./plan.js";
import type { Feed } from "./tree.js";
import { typeName, type Tensor } from "./tensor.js";
import { asParameter } from "./parameter.js";

export interface CompileOptions {
  readonly device?: Device;
  /**
   * `layers` keeps only what enters and leaves each block of the model and computes the rest again in the backward
   * pass: less memory, about a third more time. `none` (default) keeps everything that the backward pass reads.
   */
  readonly rematerialize?: "none" | "layers";
}

/** Simplifies a traced program. The types are checked after each pass. */
export function optimize(graph: Graph, options: CompileOptions = {}): Graph {
  let result = mergeCommonSubexpressions(graph);
  verifyGraph(result, "merging common subexpressions");
  if (options.rematerialize === "layers") {
    result = rematerialize(result, layerScopes);
    verifyGraph(result, "rematerialisation");
  }
  return result;
}

/** A program for one signature on one device. */
export class Program {
  readonly graph: Graph;
  readonly device: Device;
  readonly #executable: Executable;
  readonly #derived: readonly Derived[];
  readonly #constants: readonly DeviceTensor[];
  readonly #donated: ReadonlySet<Tensor>;
  #running = false;
  #disposed = false;

  constructor(graph: Graph, device: Device, donated: ReadonlySet<Tensor> = new Set()) {
    const { program, derived } = hoist(graph);
    verifyGraph(program, "hoisting");
    this.graph = graph;
    this.device = device;
    this.#donated = donated;
    this.#derived = derived;
    this.#executable = new Executable(plan(program, donated), device);
    for (const d of derived) retainDerived(d, device);
    this.#constants = uploadConstants(this.#executable.plan, device);
  }

  get plan(): Plan {
    return this.#executable.plan;
  }

  /**
   * Runs with the feeds in the order of the graph's inputs. Donated device tensors are consumed.
   * One run at a time: a program has one set of slots.
   */
  async run(feeds: readonly Feed[]): Promise<DeviceTensor[]> {
    if (this.#running || this.#disposed) {
      throw new CraftError({
        subject: "program",
        reason: this.#running ? "is running already" : "was disposed of",
        remedy: "Call the compiled function instead: it waits for its turn and keeps what it needs.",
      });
    }
    this.#running = true;
    try {
      return await this.#run(feeds);
    } finally {
      this.#running = false;
      if (this.#disposed) this.#free();
    }
  }

  async #run(feeds: readonly Feed[]): Promise<DeviceTensor[]> {
    const { plan } = this.#executable;
    const uploads: DeviceTensor[] = [];
    const loans = new Loans();
    try {
      const derived = await currentDerived(this.#derived, this.device);
      const places = new Map(this.#derived.map((d, i) => [d.placeholder, derived[i]!]));
      for (const { tensor, slot } of plan.derived) loans.borrow(slot, places.get(tensor)!);
      plan.constants.forEach(({ slot }, i) => loans.handles.set(slot, this.#constants[i]!.handle));
      loans.borrowParameters(plan);
      const given: [number, DeviceTensor][] = [];
      for (const { tensor, slot } of plan.inputs) {
        const feed = feeds[this.graph.inputs.indexOf(tensor)]!;
        const value = feed instanceof DeviceTensor ? feed : feed.upload(this.device);
        if (value !== feed) uploads.push(value);
        if (value.device.type !== this.device.type) {
          throw new CraftError({
            subject: "input",
            value: value.device.type,
            reason: `lies on another device than the program, which runs on ${this.device.type}`,
            remedy: "Move it with to(device).",
          });
        }
        if (!this.#donated.has(tensor)) loans.borrow(slot, value);
        else if (value.disposed)
          throw new CraftError({
            subject: "donated argument",
            value: typeName(value),
            reason: "was disposed of",
          });
        else given.push([slot, value]);
      }
      this.#requireSole(
        given.map(([, value]) => value),
        feeds,
      );
      for (const [slot, value] of given) loans.handles.set(slot, value.release());
      return await this.#executable.run(loans.handles);
    } finally {
      loans.end();
      for (const upload of uploads) upload.dispose();
    }
  }

  /** Refuses a donated tensor that the program reads in another place too. */
  #requireSole(donated: readonly DeviceTensor[], feeds: readonly Feed[]): void {
    const read = [...feeds, ...this.plan.parameters.map(({ tensor }) => asParameter(tensor)?.value)];
    for (const value of donated) {
      if (read.filter((other) => other === value).length <= 1) continue;
      throw new CraftError({
        subject: "donated argument",
        value: typeName(value),
        reason: "is read by the same call in another place",
        remedy: "Donate a tensor of its own.",
      });
    }
  }

  /** Frees constants and derived values, after the run that is under way. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (!this.#running) this.#free();
  }

  #free(): void {
    for (const d of this.#derived) releaseDerived(d, this.device);
    for (const constant of this.#constants) constant.dispose();
  }
}
