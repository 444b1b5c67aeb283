/** @file Tiny Llama checkpoints and what transformers computes with them (parity/llama.py). */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AutoModelForCausalLM, type CausalLM, type LoadOptions } from "../../../src/models/index.js";
import { tokenLoss } from "../../../src/nn/index.js";
import {
  compile,
  gradients,
  HostTensor,
  type Feed,
  type Parameter,
  type Tensor,
} from "../../../src/tensor/index.js";
import type { DeviceTensor } from "../../../src/torch/device_tensor.js";

export const folder = join(import.meta.dirname, "../../fixtures/llama");

type Rows = readonly (readonly number[])[];

export interface ModelInput {
  readonly inputIds: Rows;
  readonly attentionMask: Rows | null;
  readonly positions: Rows | null;
  /** -100 where nothing is predicted. */
  readonly labels: Rows;
}

export interface Case {
  readonly name: string;
  readonly checkpoint: string;
  /** Ways to write the changed fields of config.json. */
  readonly fields: readonly Readonly<Record<string, unknown>>[];
  readonly input: string;
  /** The fixture has every so-manieth row of the logits at real positions. */
  readonly logitStep: number;
}

const file = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as {
  readonly inputs: Readonly<Record<string, ModelInput>>;
  readonly cases: readonly Case[];
  readonly halfPrecisionErrors: Readonly<Record<string, number>>;
};
export const { cases } = file;
/** By dtype and input: how far transformers' logits are from float32, root mean square. */
export const { halfPrecisionErrors } = file;

/** 800 tokens with 30 of padding before them: too long to be stored. */
function longInput(): ModelInput {
  const inputIds = [Array.from({ length: 800 }, (_, i) => ((i * 23) % 29) + 3)];
  return {
    inputIds,
    attentionMask: [inputIds[0]!.map((_, i) => (i < 30 ? 0 : 1))],
    positions: null,
    labels: [inputIds[0]!.map((id, i) => (i > 0 && i % 50 === 0 ? id : -100))],
  };
}

export function inputOf(name: string): ModelInput {
  const input = name === "long" ? longInput() : file.inputs[name];
  if (input === undefined) throw new Error(`The fixture has no input ${name}.`);
  return input;
}

/** A new folder that is gone after `body`. */
export async function inFolder<T>(body: (path: string) => Promise<T>): Promise<T> {
  const path = mkdtempSync(join(tmpdir(), "craft-llama-"));
  try {
    return await body(path);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

const ropeKeys = ["rope_theta", "rope_scaling", "rope_parameters"];

/** Copies a checkpoint and changes its config.json. */
export function copyCheckpoint(name: string, into: string, fields: Readonly<Record<string, unknown>>): void {
  cpSync(join(folder, name), into, { recursive: true });
  const path = join(into, "config.json");
  const config = Object.entries(JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>);
  const changesRope = ropeKeys.some((key) => key in fields);
  const kept = config.filter(([key]) => !changesRope || !ropeKeys.includes(key));
  writeFileSync(path, JSON.stringify({ ...Object.fromEntries(kept), ...fields }));
}

export async function load(
  name: string,
  fields: Readonly<Record<string, unknown>> = {},
  options: LoadOptions = { dtype: "float32" },
): Promise<CausalLM> {
  return inFolder(async (path) => {
    copyCheckpoint(name, path, fields);
    return AutoModelForCausalLM.fromPretrained(path, options);
  });
}

export interface Results {
  /** [batch, length, vocabulary] */
  readonly logits: DeviceTensor;
  /** Mean over the labels. */
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, DeviceTensor>;
}

const ints = (rows: Rows): HostTensor => HostTensor.from(rows, "int64");

/** One forward and backward pass, towards the given parameters; `around` is where the model's forward is traced in. */
export async function run(
  model: CausalLM,
  { inputIds, attentionMask, positions, labels }: ModelInput,
  wanted: Iterable<readonly [string, Parameter]> = model.namedParameters(),
  around: <T>(body: () => T) => T = (body) => body(),
): Promise<Results> {
  const length = inputIds[0]!.length;
  // The hidden state at t predicts the token at t + 1.
  const predicted = labels.flatMap((row, b) =>
    row.flatMap((label, t) => (label === -100 || t === 0 ? [] : [[b * length + t - 1, label] as const])),
  );
  const feeds: Record<string, Feed> = {
    inputIds: ints(inputIds),
    ...(attentionMask && { attentionMask: ints(attentionMask) }),
    ...(positions && { positions: ints(positions) }),
    at: HostTensor.from(
      predicted.map(([at]) => at),
      "int64",
    ),
    labels: HostTensor.from(
      predicted.map(([, label]) => label),
      "int64",
    ),
    weights: HostTensor.from(predicted.map(() => 1)),
  };
  const targets = [...wanted];
  const program = compile((x: Record<string, Tensor>) => {
    const { attentionMask, positions } = x;
    const hidden = around(() => model.hiddenStates(x["inputIds"]!, { attentionMask, positions }));
    const sum = tokenLoss({
      hidden: hidden.to(model.dtype),
      weight: model.headWeight(),
      softcap: model.logitSoftcap,
      positions: x["at"]!,
      labels: x["labels"]!,
      weights: x["weights"]!,
      // Smaller than the number of labels, so that chunks are put together.
      chunk: 5,
    });
    const loss = sum.div(predicted.length);
    const found = gradients(
      loss,
      targets.map(([, parameter]) => parameter),
    );
    return { logits: model.logits(hidden), loss, found };
  });
  try {
    const { logits, loss, found } = await program(feeds);
    const value = loss.item();
    loss.dispose();
    return { logits, loss: value, gradients: new Map(targets.map(([name], i) => [name, found[i]!])) };
  } finally {
    program.dispose();
  }
}

/** Rows of the logits at real positions, `step` apart, as the fixture has them. */
export function realLogits(
  logits: DeviceTensor,
  { attentionMask, inputIds }: ModelInput,
  step: number,
): number[] {
  const values = logits.toNumbers();
  const size = logits.shape[2]!;
  const real = (attentionMask ?? inputIds.map((row) => row.map(() => 1))).flat();
  const rows = real.flatMap((attends, i) => (attends === 1 ? [values.slice(i * size, (i + 1) * size)] : []));
  return rows.filter((_, i) => i % step === 0).flat();
}
