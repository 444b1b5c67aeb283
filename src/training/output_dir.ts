/** @file The folder of a run: what may be there before it starts, and what is cleared. */
import { accessSync, constants, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { CraftError } from "../errors.js";

const checkpointPattern = /^checkpoint-(\d+)$/;

/** Checkpoint folders of a run, oldest first. */
export function listCheckpoints(outputDir: string): { readonly step: number; readonly path: string }[] {
  if (!existsSync(outputDir)) return [];
  return readdirSync(outputDir)
    .map((name) => ({ step: Number(checkpointPattern.exec(name)?.[1] ?? NaN), path: join(outputDir, name) }))
    .filter(({ step }) => Number.isInteger(step))
    .sort((a, b) => a.step - b.step);
}

/**
 * Creates the output folder and checks it, before anything is loaded or computed. Nothing in it is touched.
 *
 * @throws CraftError if it cannot be written to; if it holds something and neither resuming nor overwriting was asked
 * for; if overwriting would clear what no run has written.
 */
export function prepareOutputDir(
  outputDir: string,
  options: { readonly overwrite: boolean; readonly resume: boolean },
): void {
  let nearest = resolve(outputDir);
  while (!existsSync(nearest)) nearest = dirname(nearest);
  try {
    accessSync(nearest, constants.W_OK);
    mkdirSync(outputDir, { recursive: true });
  } catch (cause) {
    throw new CraftError({
      subject: "output_dir",
      value: outputDir,
      reason: `cannot be written to (${cause instanceof Error ? cause.message : String(cause)})`,
      remedy: "Name another folder, or change its permissions.",
      cause,
    });
  }
  const content = readdirSync(outputDir);
  if (content.length === 0 || options.resume) return;
  if (!options.overwrite) {
    throw new CraftError({
      subject: "output_dir",
      value: outputDir,
      reason: `is not empty (${content.slice(0, 3).join(", ")}${content.length > 3 ? ", …" : ""})`,
      remedy: "Resume the run in it with --resume, clear it with --overwrite, or name another folder.",
    });
  }
  requireRunFolder(outputDir, content);
}

/**
 * Takes out of a prepared folder what must not be there when a run begins: everything, or, where a run goes on, only
 * what an earlier one left half-written when it was killed.
 */
export function clearOutputDir(outputDir: string, options: { readonly resume: boolean }): void {
  const content = readdirSync(outputDir);
  if (!options.resume) requireRunFolder(outputDir, content);
  for (const name of content) {
    if (options.resume && !leftover.test(name)) continue;
    rmSync(join(outputDir, name), { recursive: true, force: true });
  }
}

/** Folders and files under the names that they have while they are written. */
const leftover = /^\.(checkpoint-\d+\.\d+(\.replaced|\.removed)?|.+\.[0-9a-f]{12}\.tmp)$/;

const runFiles = new RegExp(
  [
    checkpointPattern.source,
    leftover.source,
    "^(log\\.jsonl|report\\.html|(craft|modules)\\.safetensors|trainer_state\\.json|runs|completions)$",
    "^(config|generation_config|adapter_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\\.json$",
    "^(adapter_model|model|model-\\d{5}-of-\\d{5})\\.safetensors$",
    "^(model\\.safetensors\\.index\\.json|tokenizer\\.model|merges\\.txt|chat_template\\.jinja|additional_chat_templates)$",
  ].join("|"),
);

/** Overwriting clears what a run leaves behind, never a folder of something else. */
function requireRunFolder(outputDir: string, content: readonly string[]): void {
  const foreign = content.filter((name) => !runFiles.test(name));
  if (foreign.length === 0) return;
  throw new CraftError({
    subject: "output_dir",
    value: outputDir,
    reason: `holds files that no run writes (${foreign.slice(0, 3).join(", ")}), and will not be cleared`,
    remedy: "Move them away or name another folder.",
  });
}
