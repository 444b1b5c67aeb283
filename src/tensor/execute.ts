/** @file Runs plans on libtorch. */
import { setImmediate as breathe } from "node:timers/promises";
import { deviceCode, type Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { dtypeCode, dtypeFromCode } from "../torch/dtype.js";
import type { Argument, Instruction, SlotRef } from "../torch/dispatcher.js";
import { NativeArena, NativeMemory } from "../torch/native_memory.js";
import { torch } from "../torch/torch.js";
import type { Layout } from "./operation.js";
import type { Plan, PlannedArgument, Step } from "./plan.js";
import { contiguousStrides } from "./layout.js";

/** How long native work may keep the event loop waiting, in milliseconds. */
const breathEvery = 50;

/** Time spent in one kind of native call. */
export interface ProfileEntry {
  calls: number;
  milliseconds: number;
}

let profile: Map<string, ProfileEntry> | undefined;

/**
 * Times every native call of the programs that run while `work` does.
 *
 * @returns totals by scope and operation, e.g. `layers.*` and `mm`, the slowest first
 */
export async function profiled(work: () => Promise<unknown>): Promise<(readonly [string, ProfileEntry])[]> {
  const outer = profile;
  const own = (profile = new Map<string, ProfileEntry>());
  try {
    await work();
  } finally {
    profile = outer;
  }
  return [...own].sort(([, a], [, b]) => b.milliseconds - a.milliseconds);
}

function timed(totals: Map<string, ProfileEntry>, step: Step, call: () => void): void {
  const began = performance.now();
  call();
  const key = step.label.replaceAll(/\d+/g, "*");
  const entry = totals.get(key) ?? { calls: 0, milliseconds: 0 };
  entry.calls++;
  entry.milliseconds += performance.now() - began;
  totals.set(key, entry);
}

let queue: Promise<unknown> = Promise.resolve();

/** One program at a time: two that take turns would only share the cores and double the memory. */
export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const turn = queue.then(work, work);
  queue = turn.catch(() => undefined);
  return turn;
}

const cells = new NativeMemory(64);

/** A plan with its native call stacks, ready to run on one device. */
export class Executable {
  readonly plan: Plan;
  readonly device: Device;
  readonly #instructions: readonly Instruction[];
  readonly #slots: Float64Array;
  readonly #lent: readonly number[];
  #checked = false;

  constructor(plan: Plan, device: Device) {
    this.plan = plan;
    this.device = device;
    this.#slots = new Float64Array(plan.slots);
    const bound = [...plan.inputs, ...plan.parameters, ...plan.constants, ...plan.derived];
    this.#lent = bound.map(({ slot }) => slot).filter((slot) => plan.storages.get(slot)?.owned === false);
    this.#instructions = this.#prepare();
  }

  #prepare(): Instruction[] {
    const { plan } = this;
    const { dispatcher } = torch();
    const arena = new NativeArena(Math.min(2 ** 16, 512 * (plan.steps.length + 1)));
    const lastRead = new Map<number, number>();
    plan.steps.forEach((step, i) => step.reads.forEach((slot) => lastRead.set(slot, i)));
    for (const slot of [...plan.outputs, ...this.#lent]) lastRead.set(slot, Infinity);
    const onCpu = this.device.type === "cpu";

    return plan.steps.map((step, i): Instruction => {
      // Of several reads in one step only the last may move the handle.
      const left = new Map<number, number>();
      for (const slot of step.reads) left.set(slot, (left.get(slot) ?? 0) + 1);
      const ref = (slot: number): SlotRef => {
        const remaining = left.get(slot)! - 1;
        left.set(slot, remaining);
        return { slot, last: remaining === 0 && lastRead.get(slot) === i };
      };
      switch (step.kind) {
        case "aten": {
          const args = step.args.map((arg) => encode(arg, ref));
          const outputs = step.writes.map((slot) => (lastRead.has(slot) ? slot : -1));
          return dispatcher.prepare(step.key, args, outputs, arena);
        }
        case "add":
          return dispatcher.prepareAdd(ref(step.a), ref(step.b), step.alpha, step.writes[0]!, onCpu);
        case "view":
          return dispatcher.prepareView(
            ref(step.source),
            step.layout.sizes,
            step.layout.strides,
            step.layout.offset,
            step.writes[0]!,
            arena,
          );
        case "fill":
          return this.#prepareFill(step, arena);
      }
    });
  }

  #prepareFill(step: Extract<Step, { kind: "fill" }>, arena: NativeArena): Instruction {
    const { library, dispatcher } = torch();
    const sizes = arena.integers(step.shape);
    const strides = arena.integers(contiguousStrides(step.shape));
    const slot = step.writes[0]!;
    return (slots) => {
      const { type, index } = this.device;
      const status = library.emptyStrided(
        step.shape.length,
        sizes,
        strides,
        dtypeCode(step.dtype),
        deviceCode[type],
        index,
        cells.at(0),
      );
      dispatcher.check(status, "allocate");
      const handle = cells.readWord(0);
      slots[slot] = handle;
      dispatcher.check(step.value === 0 ? library.zero(handle) : library.fill(handle, step.value), "fill");
    };
  }

  /**
   * Runs the plan. `handles` gives the native handle for each bound slot: lent, or given away if the input was
   * donated. The results belong to the caller.
   */
  async run(handles: ReadonlyMap<number, number>): Promise<DeviceTensor[]> {
    const slots = this.#slots;
    for (const [slot, handle] of handles) slots[slot] = handle;
    let i = 0;
    try {
      let due = performance.now() + breathEvery;
      for (const instruction of this.#instructions) {
        if (profile === undefined) instruction(slots);
        else timed(profile, this.plan.steps[i]!, () => instruction(slots));
        if (!this.#checked) this.#check(this.plan.steps[i]!);
        i++;
        if ((i & 3) === 0 && performance.now() > due) {
          await breathe();
          due = performance.now() + breathEvery;
        }
      }
      this.#checked = true;
      return this.#results();
    } catch (error) {
      throw this.#explain(error, i);
    } finally {
      this.#clear();
    }
  }

  #results(): DeviceTensor[] {
    return this.plan.outputs.map((slot) => {
      const { layout, dtype } = this.plan.storages.get(slot)!;
      const handle = this.#slots[slot]!;
      this.#slots[slot] = 0;
      return new DeviceTensor(handle, layout.sizes, dtype, this.device);
    });
  }

  /** Frees whatever is left, which is nothing unless a call failed, and forgets what was lent. */
  #clear(): void {
    const slots = this.#slots;
    for (const slot of this.#lent) slots[slot] = 0;
    for (let slot = 0; slot < slots.length; slot++) {
      if (slots[slot] === 0) continue;
      torch().library.deleteTensor(slots[slot]!);
      slots[slot] = 0;
    }
  }

  #explain(error: unknown, index: number): Error {
    const step = this.plan.steps[index];
    if (step === undefined) return error instanceof Error ? error : new Error(String(error));
    const operands = step.reads.map((slot) => describe(this.plan, slot)).join(", ");
    const reason = error instanceof Error ? error.message : String(error);
    return new Error(`${step.label}(${operands}) failed: ${reason}`, { cause: error });
  }

  /** Compares what a call returned with what the plan expects. Done at the first run of each plan. */
  #check(step: Step): void {
    for (const slot of step.writes) {
      const handle = this.#slots[slot]!;
      const expected = this.plan.storages.get(slot);
      if (handle === 0 || expected === undefined || expected.opaque) continue;
      const found = inspect(handle);
      const { sizes, strides } = expected.layout;
      const same =
        found.dtype === dtypeCode(expected.dtype) &&
        found.sizes.length === sizes.length &&
        sizes.every(
          (n, i) => n === found.sizes[i] && (n === 1 || strides[i] === found.strides[i] || sizes.includes(0)),
        );
      if (same) continue;
      throw new Error(
        `the plan expects ${describe(this.plan, slot)}, got ${dtypeFromCode(found.dtype)}${text(found)}`,
      );
    }
  }
}

const text = ({ sizes, strides }: Pick<Layout, "sizes" | "strides">): string =>
  `[${sizes.join(", ")}] with strides [${strides.join(", ")}]`;

function describe(plan: Plan, slot: number): string {
  const storage = plan.storages.get(slot);
  return storage === undefined ? `slot ${slot}` : `${storage.dtype}${text(storage.layout)}`;
}

/** Sizes, strides and dtype of the tensor behind a handle. */
function inspect(handle: number): { sizes: number[]; strides: number[]; dtype: number } {
  const { library } = torch();
  library.getDim(handle, cells.at(0));
  const ndim = cells.readWord(0);
  library.getDtype(handle, cells.at(0));
  const dtype = cells.readInt32(0);
  const read = (get: (handle: number, out: number) => number): number[] => {
    get(handle, cells.at(0));
    const address = cells.readWord(0);
    return Array.from({ length: ndim }, (_, i) => {
      library.memcpy(cells.at(8), address + 8 * i, 8);
      return cells.readWord(8);
    });
  };
  const sizes = read((tensor, out) => library.getSizes(tensor, out));
  const strides = read((tensor, out) => library.getStrides(tensor, out));
  return { sizes, strides, dtype };
}

function encode(arg: PlannedArgument, ref: (slot: number) => SlotRef): Argument {
  if (typeof arg !== "object" || arg === null) return arg;
  if ("slot" in arg) return ref(arg.slot);
  return arg.map((item) => (typeof item === "object" && item !== null ? ref(item.slot) : item));
}
