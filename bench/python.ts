/** @file The Python that has the peers' packages, if there is one. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { z } from "zod";
import { root } from "./built.js";

const prepared = z.object({
  python: z.string(),
  versions: z.record(z.string(), z.string().nullable()),
  /** Whether craft_sft.py runs the original or the stand-in. */
  craft: z.enum(["original", "stand-in"]),
});

export type Python = z.infer<typeof prepared>;

/**
 * Asks bench/peers/prepare.sh, which knows where the environment is; nothing is installed.
 *
 * @param interpreter an interpreter that has the packages; without one CRAFT_BENCH_PYTHON, else the environment that
 * prepare.sh makes
 * @returns the reason where the peers cannot run
 */
export function findPython(interpreter: string | undefined): Python | string {
  const env = interpreter === undefined ? process.env : { ...process.env, CRAFT_BENCH_PYTHON: interpreter };
  const script = join(root, "bench", "peers", "prepare.sh");
  const { status, stdout, stderr, error } = spawnSync("bash", [script, "--check"], { env, encoding: "utf8" });
  if (error !== undefined) return `bash cannot be run: ${error.message}`;
  if (status !== 0) return stderr.trim().split("\n").at(-1) ?? "prepare.sh --check failed";
  return prepared.parse(JSON.parse(stdout.trim().split("\n").at(-1) ?? ""));
}

export const peerScript = (name: string): string => join(root, "bench", "peers", name);
