import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { CraftError } from "../errors.js";
import { cacheDirectory } from "./cache_dir.js";
import { inspectFolder, inspectInstalled, type Inspected } from "./inspect.js";
import type { LibraryDevice } from "./library_files.js";
import { findPythonTorch, PYTHON } from "./python_torch.js";
import { environmentSwitch } from "./switches.js";
import { newestFirst, SUPPORTED_RANGE } from "./versions.js";

/** Which rule found a libtorch, in the order in which they are tried. */
export type Rule = "option" | "environment" | "cache" | "python" | "installed";

/** One place that was tried and what came of it, in words. */
export interface Attempt {
  readonly rule: Rule;
  readonly path?: string;
  readonly outcome: string;
}

/** A libtorch that looks usable. Whether it loads, only `verifyLibtorch` tells. */
export interface LibtorchLocation {
  /** The folder that holds libtorch_cpu. */
  readonly libDir: string;
  readonly version: string;
  readonly rule: Rule;
  readonly attempts: readonly Attempt[];
  /** What the libraries were built for; a CUDA build also computes on the CPU. */
  readonly device: LibraryDevice;
}

/** No libtorch was found. */
export interface NotLocated {
  readonly attempts: readonly Attempt[];
  /** Set when the user named a folder that cannot be used: then no other place is tried. */
  readonly refusal?: CraftError;
}

export interface LocateOptions {
  /** A folder that holds libtorch; no other place is tried then. */
  readonly libDir?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Yields each libtorch found, in the order of the rules, and at the end that there is no further one. Nothing is
 * loaded; only the rule that asks Python starts a process, and only if the search comes that far.
 */
export function* searchLibtorch(options: LocateOptions = {}): Generator<LibtorchLocation | NotLocated, void> {
  const env = options.env ?? process.env;
  const attempts: Attempt[] = [];

  const judge = (rule: Rule, path: string, result: Inspected | string): LibtorchLocation | undefined => {
    if (typeof result === "string") {
      attempts.push({ rule, path, outcome: result });
      return undefined;
    }
    attempts.push({ rule, path, outcome: `libtorch ${result.version}` });
    return { ...result, rule, attempts: [...attempts] };
  };

  const named = namedFolder(options.libDir, env);
  if (named !== undefined) {
    const { rule, subject, path } = named;
    const result = inspectFolder(resolve(path));
    const found = judge(rule, resolve(path), result);
    if (found !== undefined) yield found;
    if (typeof result === "string") yield { attempts, refusal: refusedFolder(subject, path, result) };
    return;
  }
  attempts.push({ rule: "environment", outcome: "CRAFT_LIBTORCH is not set" });

  const cache = cacheDirectory(env);
  const folders = installedFolders(cache);
  if (folders.length === 0) attempts.push({ rule: "cache", path: cache, outcome: "holds no libtorch" });
  for (const folder of folders) {
    const found = judge("cache", folder, inspectInstalled(folder));
    if (found !== undefined) yield found;
  }

  if (!environmentSwitch(env, "CRAFT_LIBTORCH_USE_PYTORCH", true)) {
    attempts.push({ rule: "python", outcome: "CRAFT_LIBTORCH_USE_PYTORCH is off" });
  } else {
    const python = findPythonTorch(env);
    if (typeof python === "string") attempts.push({ rule: "python", path: PYTHON, outcome: python });
    else {
      const found = judge("python", python.folder, inspectFolder(python.folder));
      if (found !== undefined) yield found;
    }
  }
  yield { attempts };
}

function namedFolder(
  libDir: string | undefined,
  env: NodeJS.ProcessEnv,
): { readonly rule: Rule; readonly subject: string; readonly path: string } | undefined {
  if (libDir !== undefined) return { rule: "option", subject: "libDir", path: libDir };
  const path = env["CRAFT_LIBTORCH"];
  if (path === undefined || path === "") return undefined;
  return { rule: "environment", subject: "CRAFT_LIBTORCH", path };
}

/** The error for a folder that the user named and that cannot be used. */
export function refusedFolder(subject: string, path: string, reason: string): CraftError {
  return new CraftError({
    subject,
    value: path,
    reason,
    remedy:
      `Give a folder with libtorch ${SUPPORTED_RANGE} (a torch package, its lib folder, or an unpacked libtorch), ` +
      `or leave ${subject} out to use the copy that \`craft install\` makes.`,
  });
}

/** The folders in the cache that `craft install` made or began, the newest version first. */
export function installedFolders(cache: string): string[] {
  let names: string[];
  try {
    names = readdirSync(cache).filter((name) => /^libtorch-[^-]+-(cpu|cuda)$/.test(name));
  } catch {
    return [];
  }
  const version = (name: string): string => name.split("-")[1] ?? "";
  return names.sort((a, b) => newestFirst(version(a), version(b))).map((name) => join(cache, name));
}

/** The trace of a search, one place a line. */
export function describeAttempts(attempts: readonly Attempt[]): string {
  return attempts
    .map(({ rule, path, outcome }) => `  - ${rule}: ${path === undefined ? "" : `${path}: `}${outcome}`)
    .join("\n");
}
