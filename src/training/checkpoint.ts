/** @file Checkpoint folders: written beside their place and renamed, so that one that exists is whole. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { openSafetensors, writeSafetensors } from "../models/safetensors/index.js";
import type { AdamW } from "../optim/index.js";
import type { Parameter } from "../tensor/index.js";
import type { LoopState } from "./loop.js";
import { listCheckpoints } from "./output_dir.js";

const stateFile = "trainer_state.json";
const optimizerFile = "optimizer.safetensors";

/** Runs `fill` on a folder that gets its name when everything in it is written. */
export async function writeFolderAtomically(
  path: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const staged = join(path, "..", `.${path.split(/[\\/]/).at(-1)!}.${process.pid}`);
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(staged, { recursive: true });
  try {
    await fill(staged);
    rmSync(path, { recursive: true, force: true });
    renameSync(staged, path);
  } catch (error) {
    rmSync(staged, { recursive: true, force: true });
    throw error;
  }
}

/** Writes where the loop stands and the optimiser's moments. */
export function writeTrainerState(folder: string, state: LoopState, optimizer: AdamW): void {
  const { steps, means, squares } = optimizer.state();
  const tensors = [
    ...means.map((tensor, i) => [`exp_avg.${i}`, tensor] as const),
    ...squares.map((tensor, i) => [`exp_avg_sq.${i}`, tensor] as const),
  ];
  writeSafetensors(join(folder, optimizerFile), tensors, { metadata: { format: "pt" } });
  const json = {
    global_step: state.step,
    epoch: state.loader.epoch,
    loader: state.loader,
    optimizer_steps: steps,
  };
  writeFileSync(join(folder, stateFile), `${JSON.stringify(json, null, 2)}\n`);
}

/** Reads what {@link writeTrainerState} wrote, and gives the optimiser its moments back. */
export function readTrainerState(folder: string, optimizer: AdamW): LoopState {
  const path = join(folder, stateFile);
  const broken = (reason: string): CraftError =>
    new CraftError({ subject: path, reason, remedy: "Resume from another checkpoint." });
  if (!existsSync(path)) throw broken("is missing, so this folder is no checkpoint to resume from");
  const json = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  const loader = json["loader"] as LoopState["loader"] | undefined;
  const [step, steps] = [json["global_step"], json["optimizer_steps"]];
  if (typeof step !== "number" || typeof steps !== "number" || loader === undefined)
    throw broken("lacks global_step, optimizer_steps or loader");
  const file = openSafetensors(join(folder, optimizerFile));
  try {
    const own = optimizer.state();
    const read = (kind: string, like: readonly { readonly shape: readonly number[] }[]) =>
      like.map(({ shape }, i) => {
        const name = `${kind}.${i}`;
        const entry = file.tensors.get(name);
        if (entry === undefined || entry.shape.join() !== shape.join())
          throw broken(`the optimiser's ${name} does not fit what is trained`);
        return file.read(name);
      });
    const means = read("exp_avg", own.means);
    const squares = read("exp_avg_sq", own.squares);
    optimizer.restore({ steps, means, squares });
    for (const tensor of [...means, ...squares]) tensor.dispose();
  } finally {
    file.close();
  }
  return { step, loader };
}

/** Writes the values of named parameters into one file. */
export function writeParameters(path: string, named: Iterable<readonly [string, Parameter]>): void {
  writeSafetensors(
    path,
    [...named].map(([name, parameter]) => [name, parameter.value] as const),
    { metadata: { format: "pt" } },
  );
}

/** Gives named parameters the values in a file that {@link writeParameters} wrote. */
export function readParameters(path: string, named: Iterable<readonly [string, Parameter]>): void {
  const file = openSafetensors(path);
  try {
    for (const [name, parameter] of named) {
      const found = file.tensors.get(name);
      if (found === undefined || found.shape.join() !== parameter.shape.join()) {
        throw new CraftError({
          subject: path,
          value: name,
          reason: "is missing or has another shape than what is trained",
          remedy: "Resume with the settings that the checkpoint was made with.",
        });
      }
      const value = file.read(name, { dtype: parameter.dtype });
      parameter.value.copyFrom(value);
      parameter.touch();
      value.dispose();
    }
  } finally {
    file.close();
  }
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

/** Deletes the oldest checkpoints beyond the limit. */
export function pruneCheckpoints(outputDir: string, limit: number | undefined): void {
  if (limit === undefined) return;
  const all = listCheckpoints(outputDir);
  for (const { path } of all.slice(0, Math.max(0, all.length - limit)))
    rmSync(path, { recursive: true, force: true });
}
