/** @file Checkpoint folders: written beside their place and renamed, so that one that exists is whole. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { CraftError } from "../errors.js";
import { syncFolder, writeFileAtomically } from "../models/atomic_file.js";
import { Checkpoint, openCheckpoint } from "../models/checkpoint.js";
import { openSafetensors, writeSafetensors } from "../models/safetensors/index.js";
import type { AdamW } from "../optim/index.js";
import type { Parameter } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import type { LoopState } from "./loop.js";
import { listCheckpoints } from "./output_dir.js";

const stateFile = "trainer_state.json";
const optimizerFile = "optimizer.safetensors";

type Named = readonly (readonly [string, Parameter])[];

const count = z.int().min(0);
const total = z.object({ sum: z.number(), weight: z.number(), metrics: z.record(z.string(), z.number()) });
const stateSchema = z.object({
  global_step: z.int().min(1),
  loader: z.object({ epoch: count, position: count }),
  since_log: z.object({
    loss: z.number(),
    steps: count,
    tokens: z.number(),
    seconds: z.number(),
    tasks: z.record(z.string(), total),
    norms: z.record(z.string(), z.object({ sum: z.number(), steps: count })),
  }),
  optimizer_steps: count,
  data_order: z.record(z.string(), z.number().nullable()),
  carried: z.record(z.string(), z.array(z.number())),
});

/** What a checkpoint says of its run, beside weights and moments. */
export interface TrainerState {
  readonly loop: LoopState;
  readonly optimizerSteps: number;
  /** What the order of the data depends on: the seed, how many batches an epoch has. Null is unknown. */
  readonly dataOrder: Readonly<Record<string, number | null>>;
  /** Numbers that a trainer keeps from step to step beside its parameters, by name. */
  readonly carried: Readonly<Record<string, readonly number[]>>;
}

/** Runs `fill` on a folder that gets its name when everything in it is written. */
export async function writeFolderAtomically(
  path: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(path);
  const staged = join(parent, `.${basename(path)}.${process.pid}`);
  const replaced = `${staged}.replaced`;
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(staged, { recursive: true });
  try {
    await fill(staged);
    syncFolder(staged);
    if (existsSync(path)) renameSync(path, replaced);
    renameSync(staged, path);
    syncFolder(parent);
  } catch (error) {
    rmSync(staged, { recursive: true, force: true });
    throw error;
  }
  rmSync(replaced, { recursive: true, force: true });
}

/** Writes where a run stands, and the optimiser's moments under the names of their parameters. */
export function writeTrainerState(
  folder: string,
  { loop, dataOrder, carried }: Omit<TrainerState, "optimizerSteps">,
  optimizer: AdamW,
  named: Named,
): void {
  writeSafetensors(join(folder, optimizerFile), [...moments(optimizer, named)], {
    metadata: { format: "pt" },
  });
  const json: z.input<typeof stateSchema> = {
    global_step: loop.step,
    loader: { ...loop.loader },
    since_log: { ...loop.sinceLog },
    optimizer_steps: optimizer.steps,
    data_order: { ...dataOrder },
    carried: Object.fromEntries(Object.entries(carried).map(([name, values]) => [name, [...values]])),
  };
  writeFileAtomically(join(folder, stateFile), `${JSON.stringify(json, null, 2)}\n`);
}

/** The optimiser's moments with the names that they have in a file. */
function moments(optimizer: AdamW, named: Named): Map<string, DeviceTensor> {
  const names = new Map(named.map(([name, parameter]) => [parameter, name]));
  const { means, squares } = optimizer.state();
  return new Map(
    optimizer.parameters.flatMap((parameter, i): [string, DeviceTensor][] => {
      const name = names.get(parameter) ?? String(i);
      return [
        [`exp_avg.${name}`, means[i]!],
        [`exp_avg_sq.${name}`, squares[i]!],
      ];
    }),
  );
}

/** Reads where a run stood. */
export function readTrainerState(folder: string): TrainerState {
  const path = join(folder, stateFile);
  const broken = (reason: string, cause?: unknown): CraftError =>
    new CraftError({ subject: path, reason, remedy: "Resume from another checkpoint", cause });
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw broken(`cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  const { success, data, error } = stateSchema.safeParse(json);
  if (!success) {
    const issue = error.issues[0];
    throw broken(`${issue?.path.join(".") ?? "it"} is not as a checkpoint has it: ${issue?.message ?? ""}`);
  }
  return {
    loop: { step: data.global_step, loader: data.loader, sinceLog: data.since_log },
    optimizerSteps: data.optimizer_steps,
    dataOrder: data.data_order,
    carried: data.carried,
  };
}

/** @throws CraftError if a run's data would come in another order than that of the checkpoint. */
export function requireSameOrder(
  folder: string,
  saved: TrainerState["dataOrder"],
  own: TrainerState["dataOrder"],
): void {
  for (const [name, value] of Object.entries(own)) {
    const other = saved[name] ?? null;
    if (other === value) continue;
    throw new CraftError({
      subject: "resume_from_checkpoint",
      value: folder,
      reason: `its run has ${name} = ${other}, this one has ${value}, so the data would come in another order`,
      remedy:
        "Resume with the seed, the data, the batch size and the accumulation of that run, or start anew",
    });
  }
}

/** Gives the optimiser its moments back. */
export function readMoments(folder: string, optimizer: AdamW, steps: number, named: Named): void {
  const path = join(folder, optimizerFile);
  using file = new Checkpoint(folder, [openSafetensors(path)]);
  const own = moments(optimizer, named);
  requireFit(
    file,
    path,
    [...own].map(([name, { shape }]) => [name, shape]),
    "all",
  );
  for (const [name, moment] of own) {
    using value = file.read(name);
    moment.copyFrom(value);
  }
  optimizer.restore(steps);
}

/** Writes the values of named parameters into one file. */
export function writeParameters(path: string, named: Named): void {
  const tensors = named.map(([name, parameter]) => [name, parameter.value] as const);
  writeSafetensors(path, tensors, { metadata: { format: "pt" } });
}

/**
 * Gives named parameters the values of a file, or of the weights of a model folder.
 *
 * @param scope "all": the file must not hold anything else
 */
export function readParameters(path: string, named: Named, scope: "all" | "some"): void {
  using source = path.endsWith(".safetensors")
    ? new Checkpoint(dirname(path), [openSafetensors(path)])
    : openCheckpoint(path);
  requireFit(
    source,
    path,
    named.map(([name, { shape }]) => [name, shape]),
    scope,
  );
  for (const [name, parameter] of named) {
    using value = source.read(name, { dtype: parameter.dtype });
    parameter.value.copyFrom(value);
    parameter.touch();
  }
}

/** Checks everything before anything is overwritten. */
function requireFit(
  source: Checkpoint,
  path: string,
  wanted: readonly (readonly [string, readonly number[]])[],
  scope: "all" | "some",
): void {
  const refuse = (value: string, reason: string): CraftError =>
    new CraftError({
      subject: path,
      value,
      reason,
      remedy: "Resume with the settings that the checkpoint was made with",
    });
  const shapeOf = (shape: readonly number[]): string => `[${shape.join(", ")}]`;
  for (const [name, shape] of wanted) {
    if (!source.has(name)) throw refuse(name, "is trained in this run, and the checkpoint does not have it");
    const saved = shapeOf(source.shape(name));
    if (saved !== shapeOf(shape))
      throw refuse(name, `has the shape ${saved} in the checkpoint and ${shapeOf(shape)} in this run`);
  }
  if (scope === "some") return;
  const names = new Set(wanted.map(([name]) => name));
  const extra = source.names.find((name) => !names.has(name));
  if (extra !== undefined) throw refuse(extra, "is in the checkpoint and is not trained in this run");
}

/** The checkpoint that `resume_from_checkpoint` means: the named folder, or the last one of the run. */
export function resolveCheckpoint(resume: boolean | string, outputDir: string): string | undefined {
  if (resume === false) return undefined;
  if (typeof resume === "string") {
    if (existsSync(join(resume, stateFile))) return resume;
    throw new CraftError({
      subject: "resume_from_checkpoint",
      value: resume,
      reason: `is no checkpoint: it has no ${stateFile}`,
      remedy: "Name a folder checkpoint-N that a run has written",
    });
  }
  const last = listCheckpoints(outputDir).at(-1);
  if (last === undefined) {
    throw new CraftError({
      subject: "resume_from_checkpoint",
      value: true,
      reason: `${outputDir} has no checkpoint`,
      remedy: "Start without --resume.",
    });
  }
  return last.path;
}

/** Deletes the oldest checkpoints beyond the limit; the one that was just written stays. */
export function pruneCheckpoints(outputDir: string, limit: number | undefined, written: string): void {
  if (limit === undefined) return;
  const others = listCheckpoints(outputDir).filter(({ path }) => basename(path) !== basename(written));
  for (const { path } of others.slice(0, Math.max(0, others.length - (limit - 1))))
    rmSync(path, { recursive: true, force: true });
}
