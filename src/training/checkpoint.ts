/** @file Checkpoint folders: written beside their place and renamed, so that one that exists is whole. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { CraftError } from "../errors.js";
import { syncFolder } from "../models/atomic_file.js";
import { Checkpoint, openCheckpoint } from "../models/checkpoint.js";
import { openSafetensors, writeSafetensors } from "../models/safetensors/index.js";
import type { AdamW } from "../optim/index.js";
import type { Parameter } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import type { AllCarried } from "./carried.js";
import { listCheckpoints } from "./output_dir.js";
import { runStateFile, trainerStateFile, type RunState } from "./run_state.js";

const optimizerFile = "optimizer.safetensors";
const carriedFile = "carried.safetensors";

type Named = readonly (readonly [string, Parameter])[];

/** Runs `fill` on a folder that gets its name when everything in it is written. */
export async function writeFolderAtomically(
  path: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(path);
  const staged = join(parent, `.${basename(path)}.${process.pid}`);
  const former = `${staged}.replaced`;
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(staged, { recursive: true });
  try {
    await fill(staged);
    syncFolder(staged);
    if (existsSync(path)) renameSync(path, former);
    renameSync(staged, path);
    syncFolder(parent);
  } catch (error) {
    rmSync(staged, { recursive: true, force: true });
    throw error;
  }
  rmSync(former, { recursive: true, force: true });
}

/** Writes the optimiser's moments under the names of their parameters. */
export function writeMoments(folder: string, optimizer: AdamW, named: Named): void {
  writeSafetensors(join(folder, optimizerFile), [...moments(optimizer, named)], {
    metadata: { format: "pt" },
  });
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

/**
 * Writes the tensors that are carried beside the parameters, as `name.tensor`.
 *
 * @returns the numbers that are carried, by the same names
 */
export function writeCarried(folder: string, carried: AllCarried): RunState["carried"] {
  const states = Object.entries(carried).map(([name, one]) => [name, one.state()] as const);
  const tensors = states.flatMap(([name, { tensors: own = {} }]) =>
    Object.entries(own).map(([key, tensor]) => [`${name}.${key}`, tensor] as const),
  );
  if (tensors.length > 0) writeSafetensors(join(folder, carriedFile), tensors);
  return Object.fromEntries(states.map(([name, { numbers: own = {} }]) => [name, own]));
}

/** Gives back what was carried. @throws CraftError where the checkpoint has something else. */
export function readCarried(folder: string, carried: AllCarried, saved: RunState["carried"]): void {
  const names = Object.keys(carried);
  const path = join(folder, carriedFile);
  const shapes = names.flatMap((name) =>
    Object.entries(carried[name]!.state().tensors ?? {}).map(
      ([key, { shape }]) => [`${name}.${key}`, shape] as const,
    ),
  );
  const missing = names.find((name) => saved[name] === undefined);
  const extra = Object.keys(saved).find((name) => carried[name] === undefined);
  if (missing !== undefined || extra !== undefined) {
    throw new CraftError({
      subject: join(folder, runStateFile),
      value: missing ?? extra,
      reason:
        missing === undefined
          ? "is carried in the checkpoint and not in this run"
          : "is not in the checkpoint",
      remedy: "Resume with the settings that the checkpoint was made with",
    });
  }
  using file = shapes.length === 0 ? undefined : new Checkpoint(folder, [openSafetensors(path)]);
  if (file !== undefined) requireFit(file, path, shapes, "all");
  for (const name of names) {
    const keys = Object.keys(carried[name]!.state().tensors ?? {});
    const tensors = Object.fromEntries(keys.map((key) => [key, file!.read(`${name}.${key}`)]));
    try {
      carried[name]!.restore({ numbers: saved[name]!, tensors });
    } finally {
      for (const tensor of Object.values(tensors)) tensor.dispose();
    }
  }
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
 * @param others names that it may hold all the same
 */
export function readParameters(
  path: string,
  named: Named,
  scope: "all" | "some",
  others: ReadonlySet<string> = new Set(),
): void {
  using source = path.endsWith(".safetensors")
    ? new Checkpoint(dirname(path), [openSafetensors(path)])
    : openCheckpoint(path);
  requireFit(
    source,
    path,
    named.map(([name, { shape }]) => [name, shape]),
    scope,
    others,
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
  others: ReadonlySet<string> = new Set(),
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
  const names = new Set([...wanted.map(([name]) => name), ...others]);
  const extra = source.names.find((name) => !names.has(name));
  if (extra !== undefined) throw refuse(extra, "is in the checkpoint and is not trained in this run");
}

/** The checkpoint that `resume_from_checkpoint` means: the named folder, or the last one of the run. */
export function resolveCheckpoint(resume: boolean | string, outputDir: string): string | undefined {
  if (resume === false) return undefined;
  recoverReplaced(typeof resume === "string" ? dirname(resume) : outputDir);
  if (typeof resume === "string") {
    if (existsSync(join(resume, runStateFile))) return resume;
    const partial = existsSync(join(resume, trainerStateFile));
    throw new CraftError({
      subject: "resume_from_checkpoint",
      value: resume,
      reason: partial
        ? `cannot be resumed: it has no ${runStateFile}, as with save_only_model`
        : `is no checkpoint: it has no ${runStateFile}`,
      remedy: "Name a folder checkpoint-N that a run has written",
    });
  }
  const checkpoints = listCheckpoints(outputDir);
  const last = checkpoints.filter(({ path }) => existsSync(join(path, runStateFile))).at(-1);
  if (last === undefined) {
    throw new CraftError({
      subject: "resume_from_checkpoint",
      value: true,
      reason:
        checkpoints.length === 0
          ? `${outputDir} has no checkpoint`
          : `the checkpoints in ${outputDir} hold the model only, as with save_only_model`,
      remedy: "Start without --resume.",
    });
  }
  return last.path;
}

const replaced = /^\.(checkpoint-\d+)\.\d+\.replaced$/;

/** Gives a checkpoint its name back where a process was killed between taking it away and giving it to the new one. */
function recoverReplaced(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const path = join(folder, replaced.exec(name)?.[1] ?? name);
    if (!existsSync(path)) renameSync(join(folder, name), path);
  }
}

/**
 * Deletes the oldest checkpoints until no more than `limit` are left. The one that was just written and the best one
 * stay, even if they are more.
 */
export function pruneCheckpoints(
  outputDir: string,
  limit: number | undefined,
  written: string,
  best: string | null = null,
): void {
  if (limit === undefined) return;
  const all = listCheckpoints(outputDir);
  const kept = new Set([written, ...(best === null ? [] : [best])].map((path) => resolve(path)));
  const others = all.filter(({ path }) => !kept.has(resolve(path)));
  const excess = Math.min(others.length, all.length - limit);
  for (const { path } of others.slice(0, Math.max(0, excess))) removeCheckpoint(path);
}

/** Takes its name from a checkpoint before it is deleted, so that one that has its name is whole. */
export function removeCheckpoint(path: string): void {
  const doomed = join(dirname(path), `.${basename(path)}.${process.pid}.removed`);
  rmSync(doomed, { recursive: true, force: true });
  renameSync(path, doomed);
  rmSync(doomed, { recursive: true, force: true });
}
