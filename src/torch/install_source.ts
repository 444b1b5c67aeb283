import { existsSync } from "node:fs";
import { copyFile, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CraftError } from "../errors.js";
import { download, sha256Of, splitCredentials } from "./download.js";
import { inspectFolder, type ManifestFile } from "./inspect.js";
import type { InstallProgress } from "./install_progress.js";
import { isWantedLibrary } from "./library_files.js";
import { pipDownload } from "./pip.js";
import { versionProblem } from "./versions.js";
import { fitsPlatform, WHEEL_HOST, wheelTarget, type WheelTarget } from "./wheel_names.js";

export interface SourceOptions {
  readonly version: string;
  readonly from?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly onProgress: (progress: InstallProgress) => void;
}

/** Libraries that can be installed: those of a wheel, or of a folder. */
export interface InstallSource {
  /** The file, folder or address, as the user would know it. */
  readonly name: string;
  readonly version: string;
  readonly files: readonly ManifestFile[];
  /** Writes the files below `target` and checks them; tells how many bytes were written in all. */
  readonly unpack: (target: string, onBytes: (bytes: number) => void) => Promise<void>;
  readonly close: () => void;
  /** Removes what was fetched only for this installation and is no longer wanted. */
  readonly discard: () => Promise<void>;
}

/**
 * Opens what shall be installed. Without `from` that is a wheel that pip brings, or else one fetched from the
 * wheel host. Downloads are kept in `cache/downloads` until they are used, so that they can be taken up again.
 */
export async function openSource(
  cache: string,
  staging: string,
  options: SourceOptions,
): Promise<InstallSource> {
  const { from } = options;
  if (from === undefined) return fetchSource(cache, staging, options);
  if (/^https?:\/\//.test(from)) {
    const url = new URL(from);
    const sha256 = /^#sha256=([0-9a-f]{64})$/.exec(url.hash)?.[1];
    url.hash = "";
    const file = join(cache, "downloads", decodeURIComponent(basename(url.pathname)));
    return fetchWheel(url.href, file, sha256, options);
  }
  const path = resolve(from);
  const kind = await stat(path).catch(() => undefined);
  if (kind === undefined) throw refusedSource(from, "does not exist");
  return kind.isDirectory() ? openFolder(path) : openWheelSource(path, from);
}

async function fetchSource(cache: string, staging: string, options: SourceOptions): Promise<InstallSource> {
  const { version, env, onProgress } = options;
  const wheel = wheelTarget(version);
  const folder = join(staging, "pip");
  await mkdir(folder);
  onProgress({ stage: "pip", message: `asking pip for ${wheel.requirement}` });
  const pip = await pipDownload(wheel, folder, env);
  if (typeof pip !== "string") {
    await checkHash(pip.path, wheel);
    return openWheelSource(pip.path, `pip download ${wheel.requirement}`);
  }
  onProgress({ stage: "pip", message: `pip has no such wheel (${pip})` });

  const host = (env["CRAFT_LIBTORCH_URL"] ?? "") === "" ? WHEEL_HOST : String(env["CRAFT_LIBTORCH_URL"]);
  const url = `${host.replace(/\/+$/, "")}/${encodeURIComponent(wheel.fileName)}`;
  try {
    return await fetchWheel(url, join(cache, "downloads", wheel.fileName), wheel.sha256, options);
  } catch (cause) {
    if (!(cause instanceof CraftError)) throw cause;
    throw new CraftError({
      subject: "libtorch",
      value: version,
      reason: `could not be fetched. pip: ${pip}. ${cause.message}`,
      remedy:
        "On a machine without network, fetch that wheel elsewhere and give it with `craft install --from`, " +
        "or name a folder that holds libtorch in CRAFT_LIBTORCH.",
      cause,
    });
  }
}

async function fetchWheel(
  url: string,
  file: string,
  sha256: string | undefined,
  { onProgress }: SourceOptions,
): Promise<InstallSource> {
  const message = `fetching ${basename(file)}`;
  onProgress({ stage: "download", message });
  await download(url, `${file}.part`, {
    ...(sha256 === undefined ? {} : { sha256 }),
    onProgress: (done, total) =>
      onProgress({ stage: "download", message, done, ...(total === undefined ? {} : { total }) }),
  });
  try {
    const source = await openWheelSource(`${file}.part`, splitCredentials(url).url);
    return { ...source, discard: () => rm(`${file}.part`, { force: true }) };
  } catch (error) {
    // It arrived whole and is of no use: keeping it would only fail again.
    await rm(`${file}.part`, { force: true });
    throw error;
  }
}

/** A wheel for another Python than the one in the table has another hash; then only its RECORD is there to check. */
async function checkHash(path: string, wheel: WheelTarget): Promise<void> {
  if (wheel.sha256 === undefined || basename(path) !== wheel.fileName) return;
  const digest = await sha256Of(path);
  if (digest !== wheel.sha256) {
    throw refusedSource(
      `pip download ${wheel.requirement}`,
      `has the sha256 ${digest} instead of ${wheel.sha256}`,
    );
  }
}

async function openWheelSource(path: string, name: string): Promise<InstallSource> {
  const { openWheel } = await import("./wheel.js");
  const wheel = await openWheel(path);
  const problem =
    versionProblem(wheel.version) ??
    (fitsPlatform(wheel.tags)
      ? undefined
      : `is built for ${wheel.tags.join(", ")}, not for ${process.platform} ${process.arch}`) ??
    (wheel.device === "cuda"
      ? "is a CUDA build, which needs NVIDIA's libraries beside it; only CPU builds can be installed"
      : undefined) ??
    (wheel.files.length === 0 ? "holds no libraries" : undefined);
  if (problem !== undefined) {
    wheel.close();
    throw refusedSource(name, problem);
  }
  const { version, files, unpack, close } = wheel;
  return { name, version, files, unpack, close, discard: async () => undefined };
}

/** Copies the libraries out of a folder, so that they outlive it. The hashes are those of the files as found. */
async function openFolder(path: string): Promise<InstallSource> {
  const found = inspectFolder(path);
  if (typeof found === "string") throw refusedSource(path, found);
  if (found.device === "cuda") {
    throw refusedSource(
      path,
      "is a CUDA build, whose libraries lie in other folders too; name it in CRAFT_LIBTORCH instead",
    );
  }
  // Some platforms keep libraries that libtorch_cpu needs in folders beside it.
  const root = dirname(dirname(found.libDir));
  const folders = [
    [found.libDir, "torch/lib"],
    [join(root, "torch", ".dylibs"), "torch/.dylibs"],
    [join(root, "torch.libs"), "torch.libs"],
  ] as const;
  const files: (ManifestFile & { readonly source: string })[] = [];
  for (const [folder, entry] of folders) {
    const names = existsSync(folder)
      ? (await readdir(folder)).filter((name) => isWantedLibrary(name)).sort()
      : [];
    for (const name of names) {
      const source = join(folder, name);
      const { size } = await stat(source);
      files.push({ source, path: `${entry}/${name}`, size, sha256: await sha256Of(source) });
    }
  }
  const unpack: InstallSource["unpack"] = async (target, onBytes) => {
    let written = 0;
    for (const { source, path: entry, sha256 } of files) {
      const copy = join(target, ...entry.split("/"));
      await mkdir(dirname(copy), { recursive: true });
      await copyFile(source, copy);
      await syncFile(copy);
      if ((await sha256Of(copy)) !== sha256)
        throw refusedSource(path, `its ${entry} changed while it was copied`);
      onBytes((written += (await stat(copy)).size));
    }
  };
  return {
    name: path,
    version: found.version,
    files: files.map(({ path: entry, size, sha256 }) => ({ path: entry, size, sha256 })),
    unpack,
    close: () => undefined,
    discard: async () => undefined,
  };
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function refusedSource(source: string, reason: string): CraftError {
  return new CraftError({
    subject: "source of libtorch",
    value: source,
    reason,
    remedy:
      "Give a wheel of torch (CPU build) for this platform, its address, or a folder that holds libtorch.",
  });
}
