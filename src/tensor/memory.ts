/** @file What memory a program needs, known from its plan, without running it. */
import { dtypeBytes } from "../torch/dtype.js";
import { collect } from "./graph.js";
import { hoist } from "./passes/hoist.js";
import { plan, type Plan } from "./plan.js";
import { optimize, type CompileOptions } from "./program.js";
import { numel, type Tensor, type TensorType } from "./tensor.js";

/** Bytes, without what native calls take for themselves while they run. */
export interface ProgramMemory {
  /** The most that a run holds at a time beside parameters and inputs: intermediate values and results. */
  readonly peak: number;
  /** The results, which the caller keeps. */
  readonly results: number;
  /** What is kept between runs: constants, and what was computed from parameters alone, such as their casts. */
  readonly kept: number;
}

export const bytesOf = ({ shape, dtype }: TensorType): number => numel(shape) * dtypeBytes(dtype);

const total = (tensors: readonly TensorType[]): number =>
  tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);

/**
 * Plans the program that computes `outputs` from `inputs` and adds up what it would hold. Nothing is computed, and
 * parameters need no values.
 */
export function programMemory(
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  options: Pick<CompileOptions, "rematerialize"> = {},
): ProgramMemory {
  const { program, derived } = hoist(optimize(collect(inputs, outputs), options));
  const made = plan(program);
  const constants = made.constants.map(({ tensor }) => tensor);
  // Values with equal keys are one.
  const shared = new Map(derived.map(({ key, placeholder }) => [key, placeholder]));
  return {
    peak: peakBytes(made),
    results: total(outputs),
    kept: total(constants) + total([...shared.values()]),
  };
}

/** Memory that several slots may look at: views of a value, and what overwrites it. */
interface Block {
  readonly bytes: number;
  slots: number;
}

/** The most bytes that a plan's own values take at a time, each from the call that makes it to the last that reads it. */
export function peakBytes({ steps, storages, outputs }: Plan): number {
  const lastRead = new Map<number, number>();
  steps.forEach((step, i) => step.reads.forEach((slot) => lastRead.set(slot, i)));
  for (const slot of outputs) lastRead.set(slot, Infinity);
  // What a plan is lent has no block: its memory is counted where it belongs.
  const blocks = new Map<number, Block>();
  let held = 0;
  let peak = 0;
  const release = (slot: number): void => {
    const block = blocks.get(slot);
    if (block === undefined) return;
    blocks.delete(slot);
    if (--block.slots === 0) held -= block.bytes;
  };
  steps.forEach((step, i) => {
    const shared = step.kind === "view" ? step.source : step.kind === "aten" ? step.overwrites : undefined;
    for (const slot of step.writes) {
      if (shared !== undefined) {
        const block = blocks.get(shared);
        if (block === undefined) continue;
        block.slots++;
        blocks.set(slot, block);
        continue;
      }
      const { layout, dtype } = storages.get(slot)!;
      const bytes = bytesOf({ shape: layout.sizes, dtype });
      blocks.set(slot, { bytes, slots: 1 });
      held += bytes;
    }
    peak = Math.max(peak, held);
    for (const slot of new Set(step.reads)) if (lastRead.get(slot) === i) release(slot);
    for (const slot of step.writes) if (!lastRead.has(slot)) release(slot);
  });
  return peak;
}
