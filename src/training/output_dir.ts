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
 * Makes the output folder ready before anything is loaded or computed.
 *
 * @throws CraftError if it cannot be written to, or holds something and neither resuming nor overwriting was asked for.
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
  for (const name of content) rmSync(join(outputDir, name), { recursive: true, force: true });
}

const runFiles =
  /^(checkpoint-\d+|\.checkpoint-.*|log\.jsonl|trainer_state\.json|adapter_.*|model.*\.safetensors.*|.*config\.json|craft\.safetensors|tokenizer.*|special_tokens_map\.json|chat_template\.jinja|report\.html)$/;

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
