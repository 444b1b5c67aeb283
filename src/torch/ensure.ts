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
} from "./locate.js";
import { environmentSwitch } from "./switches.js";
import { SUPPORTED_RANGE } from "./versions.js";
import { rememberVerified, wasVerified } from "./verified.js";
import { verifyLibtorch } from "./verify.js";

export interface EnsureOptions extends LocateOptions {
  /** Told of an installation. Default: a bar or lines on stderr. */
  readonly onProgress?: (progress: InstallProgress) => void;
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
  const cache = cacheDirectory(env);
  const mayInstall = environmentSwitch(env, "CRAFT_LIBTORCH_INSTALL", true);
  const failed: Attempt[] = [];
  let attempts: readonly Attempt[] = [];

  for (const found of searchLibtorch(options)) {
    attempts = found.attempts;
    if (!("libDir" in found)) {
      if (found.refusal !== undefined) throw found.refusal;
      continue;
    }
    if (wasVerified(found.libDir, cache)) return withFailures(found, failed);
    const trial = await verifyLibtorch(found.libDir, { env });
    if (trial.ok) {
      rememberVerified(found.libDir, cache);
      return withFailures(found, failed);
    }
    const reason = `does not work: ${trial.reason}`;
    if (found.rule === "option") throw refusedFolder("libDir", found.libDir, reason);
    if (found.rule === "environment") throw refusedFolder("CRAFT_LIBTORCH", found.libDir, reason);
    failed.push({ rule: found.rule, path: found.libDir, outcome: reason });
  }

  const tried = [...attempts, ...failed];
  if (!mayInstall)
    throw notFound([...tried, { rule: "installed", outcome: "CRAFT_LIBTORCH_INSTALL is off" }]);
  try {
    const installed = await install(env, options.onProgress);
    return { ...installed, attempts: [...tried, ...installed.attempts] };
  } catch (cause) {
    if (!(cause instanceof CraftError)) throw cause;
    throw notFound([...tried, { rule: "installed", outcome: cause.message }], cause);
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

function withFailures(found: LibtorchLocation, failed: readonly Attempt[]): LibtorchLocation {
  return failed.length === 0 ? found : { ...found, attempts: [...found.attempts, ...failed] };
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
