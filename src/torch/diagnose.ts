import { CraftError } from "../errors.js";
import { cacheDirectory } from "./cache_dir.js";
import { findWorkingLibtorch, type SearchResult } from "./locate.js";
import { describeEnvironment, freeDisk, type Environment } from "./environment.js";
import { WANTED_BYTES } from "./install_space.js";
import type { Attempt, LibtorchLocation } from "./locate.js";
import { DEFAULT_VERSION } from "./versions.js";
import { wheelTarget } from "./wheel_names.js";

/** What `craft doctor` knows about this machine and its libtorch. */
export interface Diagnosis {
  readonly location: LibtorchLocation | undefined;
  readonly attempts: readonly Attempt[];
  readonly environment: Environment;
  readonly disk: { readonly path: string; readonly free_bytes: number };
  /** The variables that steer this package and are set, without passwords. */
  readonly variables: Readonly<Record<string, string>>;
  /** What keeps the package from working, in words; empty when all is well. */
  readonly problems: readonly string[];
}

/** The C library that PyTorch's Linux builds need at least. */
const OLDEST_GLIBC = [2, 28] as const;

/** Looks at the machine, searches libtorch and tries it in a child process. Installs nothing. */
export async function diagnose(env: NodeJS.ProcessEnv = process.env): Promise<Diagnosis> {
  const environment = describeEnvironment(env);
  const problems: string[] = [];
  let cache = "";
  let found: SearchResult = { attempts: [] };
  try {
    cache = cacheDirectory(env);
    found = await findWorkingLibtorch({ env }, { trustMemory: false });
  } catch (error) {
    // A variable that cannot be understood is a finding too.
    if (!(error instanceof CraftError)) throw error;
    problems.push(error.message);
  }
  const { location, attempts, refusal, threads } = found;
  const disk = { path: cache, free_bytes: cache === "" ? 0 : freeDisk(cache) };
  if (refusal !== undefined) problems.push(refusal.message);
  else if (location === undefined && problems.length === 0) {
    problems.push("No libtorch that works was found. Run `craft install`.");
    problems.push(...obstacles(environment, disk));
  }
  const variables = Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      name.startsWith("CRAFT_") && value !== undefined
        ? [[name, value.replace(/\/\/[^/@]*@/, "//***@")]]
        : [],
    ),
  );
  return {
    location,
    attempts,
    environment: threads === undefined ? environment : { ...environment, threads },
    disk,
    variables,
    problems,
  };
}

/** What would keep `craft install` from succeeding here. */
function obstacles({ glibc }: Environment, disk: Diagnosis["disk"]): string[] {
  const found: string[] = [];
  try {
    wheelTarget(DEFAULT_VERSION);
  } catch (error) {
    if (!(error instanceof CraftError)) throw error;
    found.push(error.message);
  }
  const [major, minor] = OLDEST_GLIBC;
  if (process.platform === "linux" && glibc === undefined) {
    found.push(`PyTorch's builds need glibc ${major}.${minor}; this system has another C library (musl?).`);
  } else if (glibc !== undefined && isOlder(glibc, OLDEST_GLIBC)) {
    found.push(`PyTorch's builds need glibc ${major}.${minor}; this system has ${glibc}.`);
  }
  if (disk.free_bytes < WANTED_BYTES) {
    const [free, wanted] = [disk.free_bytes, WANTED_BYTES].map((bytes) => `${Math.ceil(bytes / 1e6)} MB`);
    found.push(
      `${disk.path} has ${free} free, and installing libtorch wants ${wanted}; CRAFT_CACHE names another folder.`,
    );
  }
  return found;
}

function isOlder(version: string, [major, minor]: readonly [number, number]): boolean {
  const [x = 0, y = 0] = version.split(".").map(Number);
  return x < major || (x === major && y < minor);
}
