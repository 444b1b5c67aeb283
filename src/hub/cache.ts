/** @file The cache on disk, in huggingface_hub's layout: blobs by hash, snapshots that link to them, refs to commits. */
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { dirname, join, relative } from "node:path";
import { CraftError } from "../errors.js";
import { isCommit, type Repo } from "./repo_id.js";

/** What a hub says about a file of a commit. */
export interface HubFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Git's hash of the file, or of the pointer where the content is in large storage. */
  readonly oid: string;
  /** SHA-256 of content in large storage. */
  readonly sha256?: string | undefined;
  readonly xetHash?: string | undefined;
}

export type Listing = ReadonlyMap<string, HubFile>;

/** The cache's folder of one repository. */
export class RepoCache {
  readonly folder: string;
  private readonly root: string;
  private readonly symlinks: boolean;

  constructor(cacheDir: string, { type, name }: Repo, symlinks = true) {
    this.root = cacheDir;
    this.folder = join(cacheDir, [`${type}s`, ...name.split("/")].join("--"));
    this.symlinks = symlinks;
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** Where a file of a commit is. @throws {@link CraftError} for a path that leads out of the commit's folder. */
  pointer(commit: string, path: string): string {
    requireInside(path);
    return join(this.snapshot(commit), ...path.split("/"));
  }

  blob(etag: string): string {
    return join(this.folder, "blobs", etag);
  }

  /** A lock of ours; Python's have the ending `.lock` and are held in another way. */
  lock(etag: string): string {
    return join(this.root, ".locks", this.folder.slice(this.root.length + 1), `${etag}.held`);
  }

  /** The commit that a branch or tag was last seen at. */
  async readRef(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = await readText(join(this.folder, "refs", ...revision.split("/")));
    return text !== undefined && isCommit(text.trim()) ? text.trim() : undefined;
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.readRef(revision)) === commit) return;
    await writeWhole(join(this.folder, "refs", ...revision.split("/")), commit);
  }

  /** The listing of a commit, if it was kept. */
  async readListing(commit: string): Promise<Listing | undefined> {
    const text = await readText(join(this.folder, "trees", `${commit}.json`));
    if (text === undefined) return undefined;
    try {
      const { format_version: version, files } = JSON.parse(text) as StoredListing;
      if (version !== 1) return undefined;
      return new Map(Object.entries(files).map(([path, entry]) => [path, storedFile(path, entry)]));
    } catch {
      // Broken, or of another version: it can be asked for again.
      return undefined;
    }
  }

  async writeListing(commit: string, listing: Listing): Promise<void> {
    const files: Record<string, StoredFile> = {};
    for (const file of [...listing.values()].sort((a, b) => (a.path < b.path ? -1 : 1))) {
      files[file.path] = {
        size: file.size,
        blob_id: file.oid,
        ...(file.sha256 !== undefined && { lfs_sha256: file.sha256, lfs_size: file.size }),
        ...(file.xetHash !== undefined && { xet_hash: file.xetHash }),
      };
    }
    const text = JSON.stringify({ format_version: 1, files }, undefined, 1);
    await writeWhole(join(this.folder, "trees", `${commit}.json`), text);
  }

  /** The files of a commit that are here. */
  async present(commit: string): Promise<string[]> {
    const folder = this.snapshot(commit);
    let entries;
    try {
      entries = await readdir(folder, { recursive: true, withFileTypes: true });
    } catch {
      return [];
    }
    const files = entries.filter((entry) => !entry.isDirectory());
    return files
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
      .sort();
  }

  /** Lets a file of a commit be found: a relative link to its blob, or a copy where there are no links. */
  async link(commit: string, path: string, etag: string): Promise<string> {
    const pointer = this.pointer(commit, path);
    const blob = this.blob(etag);
    await mkdir(dirname(pointer), { recursive: true });
    const temporary = `${pointer}.${randomBytes(4).toString("hex")}.tmp`;
    try {
      if (this.symlinks) await symlinkOrCopy(blob, temporary, relative(dirname(pointer), blob));
      else await copyFile(blob, temporary);
      await rename(temporary, pointer);
    } finally {
      await rm(temporary, { force: true });
    }
    return pointer;
  }

  /** Tells backup programs that all of this can be had again. */
  async tag(): Promise<void> {
    const signature = "Signature: 8a477f597d28d172789f06886806bc55\n";
    const text = `${signature}# This file is a cache directory tag. See https://bford.info/cachedir/\n`;
    await mkdir(this.root, { recursive: true });
    await writeFile(join(this.root, "CACHEDIR.TAG"), text, { flag: "wx" }).catch(() => undefined);
  }
}

async function symlinkOrCopy(blob: string, pointer: string, target: string): Promise<void> {
  try {
    await symlink(target, pointer);
  } catch (error) {
    // Windows lets few users make links, and some file systems have none.
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (!["EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "UNKNOWN"].includes(code)) throw error;
    await copyFile(blob, pointer);
  }
}

/** @throws {@link CraftError} for a path from a hub that would lead elsewhere, here or on another system. */
export function requireInside(path: string): void {
  const parts = path.split("/");
  const good =
    !/[\\\0]/.test(path) &&
    parts.every((part) => !["", ".", ".."].includes(part) && !/^[A-Za-z]:/.test(part));
  if (good) return;
  throw new CraftError({
    subject: "path of a file on the hub",
    value: path,
    reason: "leads out of the repository's folder",
    remedy: "Nothing was written. Do not trust this repository",
  });
}

/** What a failure of the operating system means to the user. `what` is what was to be kept. */
export function diskError(cacheDir: string, what: string, cause: NodeJS.ErrnoException): CraftError {
  const full = cause.code === "ENOSPC" || cause.code === "EDQUOT";
  return new CraftError({
    subject: "cache of the hub",
    value: cacheDir,
    reason: full
      ? `the disk became full while ${what} was fetched`
      : `${what} cannot be written: ${cause.message}`,
    remedy: full
      ? "Free some space, or set HF_HUB_CACHE to a folder on another disk, and try again: what has arrived is kept, and the rest will be asked for"
      : "Set HF_HUB_CACHE to a folder that can be written to",
    cause,
  });
}

/** Whether there is something at a path, seen through links. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

/** huggingface_hub's file of a commit's listing. */
interface StoredListing {
  readonly format_version: number;
  readonly files: Readonly<Record<string, StoredFile>>;
}
interface StoredFile {
  readonly size: number;
  readonly blob_id: string;
  readonly lfs_sha256?: string | undefined;
  readonly lfs_size?: number | undefined;
  readonly xet_hash?: string | undefined;
}

function storedFile(path: string, entry: StoredFile): HubFile {
  return {
    path,
    size: entry.lfs_size ?? entry.size,
    oid: entry.blob_id,
    sha256: entry.lfs_sha256,
    xetHash: entry.xet_hash,
  };
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}

/** Writes a small file so that readers see all of it or what was there before. */
async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
