import { constants } from "node:fs";
import { access, mkdir, mkdtemp, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { CraftError } from "../errors.js";
import { isAlive, withFileLock } from "../file_lock.js";
import { isSystemError } from "../transfer.js";
import { cacheDirectory } from "./cache_dir.js";
import { inspectInstalled, type Manifest, MANIFEST } from "./inspect.js";
import { checkSpace, diskError, freeBytesOf, WANTED_BYTES } from "./install_space.js";
import type { InstallProgress } from "./install_progress.js";
import { openSource, type InstallSource, type SourceOptions } from "./install_source.js";
import type { LibtorchLocation } from "./search.js";
import { rememberVerified, wasVerified } from "./verified.js";
import { verifyLibtorch, type Verification } from "./verify.js";
import { DEFAULT_VERSION, versionProblem } from "./versions.js";
import { wheelTarget } from "./wheel_names.js";

export interface InstallOptions {
  /** Three numbers, such as 2.13.0. Default: the newest version that this package was tried with. */
  readonly version?: string;
  /** The folder to install below. Default: `cacheDirectory(env)`. */
  readonly cacheDir?: string;
  /** A wheel of torch (a file or an http(s) address), or a folder that holds libtorch, instead of a download. */
  readonly from?: string;
  /** Only `cpu` can be installed. */
  readonly device?: string;
  readonly onProgress?: (progress: InstallProgress) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** What an installation leans on; tests put their own in. */
export interface InstallServices {
  readonly verify: (libDir: string) => Promise<Verification>;
  readonly freeBytes: (folder: string) => Promise<number>;
}

const services: InstallServices = {
  verify: verifyLibtorch,
  freeBytes: freeBytesOf,
};

/**
 * Installs libtorch into the cache and returns where it lies. An installation of the same version that is
 * there and works is kept, unless `from` names another source.
 *
 * Libraries are unpacked beside their final place, checked against the hashes that their wheel promises, tried in a
 * child process, and then renamed into place: a folder of the final name is always whole. What an
 * interrupted installation leaves is removed by the next one; a broken download is taken up where it stopped.
 *
 * @throws CraftError naming the version, platform, device, folder, wheel or address at fault.
 */
export async function installLibtorch(
  options: InstallOptions = {},
  { verify, freeBytes }: InstallServices = services,
): Promise<LibtorchLocation> {
  const { env = process.env, onProgress = () => undefined, from, version = DEFAULT_VERSION } = options;
  checkDevice(options.device ?? "cpu");
  checkVersion(version);
  const cache = options.cacheDir ?? cacheDirectory(env);
  const sourceOptions: SourceOptions = { version, env, onProgress, ...(from === undefined ? {} : { from }) };
  // Refuses unknown platforms before anything is written.
  if (from === undefined) wheelTarget(version);
  await makeWritable(cache);

  const wait = (): void =>
    onProgress({ stage: "wait", message: "another process is installing libtorch; waiting for it" });
  return withFileLock(join(cache, "install.lock"), wait, async () => {
    const present = inspectInstalled(finalFolder(cache, version));
    const keep = from === undefined && typeof present !== "string";
    if (keep && (wasVerified(present.libDir, cache) || (await verify(present.libDir)).ok)) {
      rememberVerified(present.libDir, cache);
      return located(present, "was there already");
    }
    await removeLeftovers(cache);
    if (from === undefined) await checkSpace(cache, WANTED_BYTES, freeBytes);

    const staging = await mkdtemp(join(cache, `${STAGING}${hostname()}-${process.pid}-`));
    let source: InstallSource | undefined;
    try {
      source = await openSource(cache, staging, sourceOptions);
      if (options.version !== undefined && source.version.split("+")[0] !== version) {
        throw new CraftError({
          subject: "version",
          value: version,
          reason: `${source.name} holds ${source.version}`,
          remedy: "Leave the version out, or give another source.",
        });
      }
      const manifest = await unpack(source, join(staging, "new"), onProgress, (bytes) =>
        checkSpace(cache, bytes, freeBytes),
      );
      const staged = inspectInstalled(join(staging, "new"));
      if (typeof staged === "string") throw broken(source.name, staged);
      onProgress({ stage: "verify", message: "trying the libraries in a process of their own" });
      const trial = await verify(staged.libDir);
      if (!trial.ok) throw broken(source.name, `does not work on this machine: ${trial.reason}`);

      const final = finalFolder(cache, manifest.version);
      await moveIntoPlace(join(staging, "new"), final, join(staging, "old"));
      const installed = inspectInstalled(final);
      if (typeof installed === "string") throw broken(final, installed);
      source.close();
      await source.discard();
      rememberVerified(installed.libDir, cache);
      return located(installed, `installed from ${source.name}`);
    } catch (error) {
      if (isSystemError(error)) throw diskError(cache, error);
      // A download that turned out useless must not be taken up again.
      source?.close();
      await source?.discard();
      throw error;
    } finally {
      source?.close();
      await rm(staging, { recursive: true, force: true });
    }
  });
}

function located(
  found: { libDir: string; version: string; device: "cpu" | "cuda" },
  how: string,
): LibtorchLocation {
  const outcome = `libtorch ${found.version}, ${how}`;
  return { ...found, rule: "installed", attempts: [{ rule: "installed", path: found.libDir, outcome }] };
}

/** Where a version is installed: the version's own label, such as +cpu, is the folder's last word. */
function finalFolder(cache: string, version: string): string {
  return join(cache, `libtorch-${version.split("+")[0] ?? version}-cpu`);
}

async function unpack(
  source: InstallSource,
  folder: string,
  onProgress: (progress: InstallProgress) => void,
  checkFree: (bytes: number) => Promise<void>,
): Promise<Manifest> {
  const total = source.files.reduce((sum, { size }) => sum + size, 0);
  await checkFree(total);
  await mkdir(folder);
  const message = `unpacking libtorch ${source.version}`;
  onProgress({ stage: "unpack", message, done: 0, total });
  await source.unpack(folder, (done) => onProgress({ stage: "unpack", message, done, total }));
  const manifest: Manifest = {
    version: source.version,
    device: "cpu",
    platform: process.platform,
    arch: process.arch,
    source: source.name,
    libDir: "torch/lib",
    files: source.files,
  };
  const file = await open(join(folder, MANIFEST), "wx");
  try {
    await file.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return manifest;
}

/** Renames `from` to `to`. What stands there is first moved to `aside`: a folder cannot be renamed over another. */
async function moveIntoPlace(from: string, to: string, aside: string): Promise<void> {
  try {
    await rename(to, aside);
  } catch (error) {
    if (!(isSystemError(error) && error.code === "ENOENT")) throw error;
  }
  try {
    await rename(from, to);
  } catch (error) {
    // Another process was quicker: its folder is as good as ours.
    if (typeof inspectInstalled(to) === "string") throw error;
  }
  await syncFolder(dirname(to));
}

/** Makes a rename survive a power cut, on the systems where a folder can be synced at all. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const STAGING = ".staging-";

/** Removes the working folders of installations that died. One that lives on another machine is left for a day. */
async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(STAGING)) continue;
    const own = new RegExp(`^${STAGING}${escape(hostname())}-(\\d+)-`).exec(name);
    const folder = join(cache, name);
    const dead =
      own === null
        ? Date.now() - (await stat(folder)).mtimeMs > 86_400_000
        : Number(own[1]) === process.pid || !isAlive(Number(own[1]));
    if (dead) await rm(folder, { recursive: true, force: true });
  }
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

async function makeWritable(cache: string): Promise<void> {
  try {
    await mkdir(cache, { recursive: true });
    await access(cache, constants.W_OK);
  } catch (cause) {
    throw new CraftError({
      subject: "cache folder",
      value: cache,
      reason: `cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy:
        "Set CRAFT_CACHE to a folder of yours, or CRAFT_LIBTORCH to a libtorch that is installed already.",
      cause,
    });
  }
}

function broken(source: string, reason: string): CraftError {
  return new CraftError({
    subject: "libtorch",
    value: source,
    reason,
    remedy: "Nothing was installed. Give another source with `craft install --from`, or run `craft doctor`.",
  });
}

function checkVersion(version: string): void {
  const problem = /^\d+\.\d+\.\d+$/.test(version)
    ? versionProblem(version)
    : `"${version}" is not a version of three numbers, such as ${DEFAULT_VERSION}`;
  if (problem === undefined) return;
  throw new CraftError({
    subject: "version",
    value: version,
    reason: problem,
    remedy: `Use ${DEFAULT_VERSION}.`,
  });
}

function checkDevice(device: string): void {
  if (device === "cpu") return;
  throw new CraftError({
    subject: "device",
    value: device,
    reason: "only cpu can be installed: a CUDA build needs NVIDIA's libraries of the right version beside it",
    remedy:
      "Install torch with pip for your GPU; its python3 on the PATH is found by itself, or name its folder in CRAFT_LIBTORCH.",
  });
}
