import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { cutShort } from "./elf.js";
import { cudaLibrary, requiredLibraries, type LibraryDevice } from "./library_files.js";
import { readVersion, versionProblem } from "./versions.js";

/** The note that an installation leaves in its folder; without it the folder is half done. */
export const MANIFEST = "libtorch.json";

/** One file of an installation: its path below the folder, with forward slashes, and what it must hold. */
export interface ManifestFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface Manifest {
  readonly version: string;
  readonly device: LibraryDevice;
  readonly platform: string;
  readonly arch: string;
  /** Where the libraries came from: a file, a folder or an address. */
  readonly source: string;
  /** Where the libraries lie, relative to the manifest, with forward slashes. */
  readonly libDir: string;
  readonly files: readonly ManifestFile[];
}

export interface Inspected {
  readonly libDir: string;
  readonly version: string;
  readonly device: LibraryDevice;
}

/**
 * Looks into a folder that is said to be libtorch, without loading anything: `path` itself, its `lib`, or its
 * `torch/lib` must hold the libraries, and their version must be a supported one.
 *
 * @returns what was found, or in words why the folder cannot be used.
 */
export function inspectFolder(path: string): Inspected | string {
  const kind = statSync(path, { throwIfNoEntry: false });
  if (kind === undefined) return "does not exist";
  if (!kind.isDirectory()) return "is a file; the folder that holds the libraries is wanted";
  if (existsSync(join(path, MANIFEST))) return inspectInstalled(path);

  const required = requiredLibraries();
  const libDir = [path, join(path, "lib"), join(path, "torch", "lib")].find((folder) =>
    required.some((name) => existsSync(join(folder, name))),
  );
  if (libDir === undefined) return `holds no ${required.join(" and ")}`;
  for (const name of required) {
    const size = statSync(join(libDir, name), { throwIfNoEntry: false })?.size;
    if (size === undefined) return `lacks ${name}`;
    if (size === 0) return `its ${name} is empty`;
    const problem = cutShort(join(libDir, name));
    if (problem !== undefined) return `its ${name} ${problem}`;
  }
  const version = readVersion(libDir) ?? installedVersion(libDir);
  if (version === undefined) {
    return "its version is not known: it has neither version.py, build-version nor dist-info beside it";
  }
  return (
    versionProblem(version) ?? {
      libDir,
      version,
      device: existsSync(join(libDir, cudaLibrary())) ? "cuda" : "cpu",
    }
  );
}

/** Looks into a folder that `craft install` made: every file must be there with its full size. */
export function inspectInstalled(folder: string): Inspected | string {
  const manifest = readManifest(folder);
  if (typeof manifest === "string") return manifest;
  if (manifest.platform !== process.platform || manifest.arch !== process.arch) {
    return `was installed for ${manifest.platform} ${manifest.arch}; this is ${process.platform} ${process.arch}`;
  }
  for (const { path, size } of manifest.files) {
    const found = statSync(join(folder, path), { throwIfNoEntry: false })?.size;
    if (found === undefined) return `lacks ${path}`;
    if (found !== size) return `its ${path} has ${found} bytes instead of ${size}`;
  }
  const { version, device } = manifest;
  return versionProblem(version) ?? { libDir: join(folder, ...manifest.libDir.split("/")), version, device };
}

/** The manifest of an installed folder, or in words why it cannot be read. */
export function readManifest(folder: string): Manifest | string {
  let text: string;
  try {
    text = readFileSync(join(folder, MANIFEST), "utf8");
  } catch {
    return `has no ${MANIFEST}, so its installation did not finish`;
  }
  try {
    const manifest: unknown = JSON.parse(text);
    if (isManifest(manifest)) return manifest;
  } catch {
    // Not JSON: the same to the caller as JSON of another shape.
  }
  return `its ${MANIFEST} is damaged`;
}

// Written out, since loading a schema library would cost each start more than the search itself.
function isManifest(value: unknown): value is Manifest {
  const { version, device, platform, arch, source, libDir, files } = record(value);
  const texts = [version, platform, arch, source, libDir].every((text) => typeof text === "string");
  return (
    texts &&
    (device === "cpu" || device === "cuda") &&
    Array.isArray(files) &&
    files.length > 0 &&
    files.every(isFile)
  );
}

function isFile(value: unknown): value is ManifestFile {
  const { path, size, sha256 } = record(value);
  return typeof path === "string" && typeof size === "number" && typeof sha256 === "string";
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? { ...value } : {};

// Someone may point straight at the folder of libraries inside one of our own installations.
function installedVersion(libDir: string): string | undefined {
  const manifest = readManifest(dirname(dirname(libDir)));
  return typeof manifest === "string" ? undefined : manifest.version;
}
