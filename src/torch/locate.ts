import { CraftError } from "../errors.js";
import { cacheDirectory } from "./cache_dir.js";
import type { InstallProgress } from "./install_progress.js";
import {
  describeAttempts,
  refusedFolder,
  searchLibtorch,
  type Attempt,
  type LibtorchLocation,
  type LocateOptions,
  type NotLocated,
} from "./search.js";

import { environmentSwitch } from "./switches.js";
import { SUPPORTED_RANGE } from "./versions.js";
import { forgetVerified, rememberVerified, wasVerified } from "./verified.js";
import { verifyLibtorch } from "./verify.js";

export type { Attempt, LibtorchLocation, LocateOptions, NotLocated, Rule } from "./search.js";

export interface EnsureOptions extends LocateOptions {
  /** Told of an installation. Default: a bar or lines on stderr. */
  readonly onProgress?: (progress: InstallProgress) => void;
}

/**
 * Looks for libtorch, without loading it: the folder given, `CRAFT_LIBTORCH`, this package's cache, and
 * the torch of the `python3` on the PATH (unless `CRAFT_LIBTORCH_USE_PYTORCH=0`). Only the last rule starts a process.
 *
 * A folder that the user named but that cannot be used ends the search: falling back in silence would run another
 * library than the one asked for.
 *
 * @throws CraftError when an environment variable has a value that cannot be understood.
 */
export function locateLibtorch(options: LocateOptions = {}): LibtorchLocation | NotLocated {
  let last: LibtorchLocation | NotLocated = { attempts: [] };
  for (const found of searchLibtorch(options)) {
    if ("libDir" in found) return found;
    last = found;
  }
  return last;
}

/** What a search with trials came to. */
export interface SearchResult {
  readonly location?: LibtorchLocation;
  /** Set when the library was tried now, and not known from before. */
  readonly threads?: number;
  readonly attempts: readonly Attempt[];
  /** Set when the user named a folder that cannot be used. */
  readonly refusal?: CraftError;
}

/**
 * Looks for a libtorch that works, trying each that is found in a child process.
 *
 * @param trustMemory take a library that passed before, and has not changed since, as working.
 */
export async function findWorkingLibtorch(
  options: LocateOptions,
  { trustMemory }: { readonly trustMemory: boolean },
): Promise<SearchResult> {
  const env = options.env ?? process.env;
  const cache = cacheDirectory(env);
  const failed: Attempt[] = [];
  let attempts: readonly Attempt[] = [];
  for (const found of searchLibtorch(options)) {
    attempts = [...found.attempts, ...failed];
    if (!("libDir" in found)) {
      if (found.refusal !== undefined) return { attempts, refusal: found.refusal };
      continue;
    }
    const location = { ...found, attempts };
    if (trustMemory && wasVerified(found.libDir, cache)) return { location, attempts };
    const trial = await verifyLibtorch(found.libDir, { env });
    if (trial.ok) {
      rememberVerified(found.libDir, cache);
      return { location, attempts, threads: trial.threads };
    }
    forgetVerified(found.libDir, cache);
    const reason = `does not work: ${trial.reason}`;
    failed.push({ rule: found.rule, path: found.libDir, outcome: reason });
    attempts = [...attempts, ...failed.slice(-1)];
    const subject = { option: "libDir", environment: "CRAFT_LIBTORCH" } as const;
    if (found.rule === "option" || found.rule === "environment") {
      return { attempts, refusal: refusedFolder(subject[found.rule], found.libDir, reason) };
    }
  }
  return { attempts };
}

/**
 * Finds a libtorch that works, and installs one if there is none (not if `CRAFT_LIBTORCH_INSTALL=0`).
 *
 * A library that was not loaded by this package before is first tried in a child process (0.5 s); that it
 * passed is remembered in the cache until the file changes, so that later calls take a few milliseconds.
 *
 * @throws CraftError with each place that was tried when there is none, or when the folder that the user named does
 * not work.
 */
export async function ensureLibtorch(options: EnsureOptions = {}): Promise<LibtorchLocation> {
  const env = options.env ?? process.env;
  const mayInstall = environmentSwitch(env, "CRAFT_LIBTORCH_INSTALL", true);
  const { location, attempts, refusal } = await findWorkingLibtorch(options, { trustMemory: true });
  if (refusal !== undefined) throw refusal;
  if (location !== undefined) return location;
  if (!mayInstall)
    throw notFound([...attempts, { rule: "installed", outcome: "CRAFT_LIBTORCH_INSTALL is off" }]);
  try {
    const installed = await install(env, options.onProgress);
    return { ...installed, attempts: [...attempts, ...installed.attempts] };
  } catch (cause) {
    if (!(cause instanceof CraftError)) throw cause;
    throw notFound([...attempts, { rule: "installed", outcome: cause.message }], cause);
  }
}

async function install(
  env: NodeJS.ProcessEnv,
  onProgress: EnsureOptions["onProgress"],
): Promise<LibtorchLocation> {
  // Loaded only now: unpacking and downloading are of no use to a start that finds everything in place.
  const [{ installLibtorch }, { progressView }] = await Promise.all([
    import("./install.js"),
    import("./install_progress.js"),
  ]);
  if (onProgress !== undefined) return installLibtorch({ env, onProgress });
  const view = await progressView();
  try {
    return await installLibtorch({ env, onProgress: view.show });
  } finally {
    view.stop();
  }
}

function notFound(attempts: readonly Attempt[], cause?: CraftError): CraftError {
  return new CraftError({
    subject: "libtorch",
    reason: `none was found that works. Tried:\n${describeAttempts(attempts)}\n`,
    remedy:
      "Run `craft install` (`--from` takes a wheel or a folder on a machine without network), or set CRAFT_LIBTORCH to a " +
      `folder with libtorch ${SUPPORTED_RANGE}; \`craft doctor\` shows more.`,
    ...(cause === undefined ? {} : { cause }),
  });
}
