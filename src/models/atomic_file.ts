/** @file Files that are written whole or not at all, and what failures of the operating system mean to a user. */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CraftError } from "../errors.js";

// One call reads or writes at most 2^31 - 1 bytes.
export const ioChunkBytes = 2 ** 30;

/** A file under a temporary name in its folder. It exists under its own name from {@link commitFiles} on. */
export class StagedFile {
  readonly path: string;
  readonly #temporary: string;
  #descriptor: number | undefined;
  #position = 0;

  /** @throws {@link CraftError} if the folder cannot be written to. */
  constructor(path: string) {
    this.path = path;
    this.#temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
    this.#descriptor = attempt(path, () => openSync(this.#temporary, "wx"));
  }

  write(bytes: Uint8Array): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new Error(`${this.path} is written already`);
    for (let done = 0; done < bytes.byteLength;) {
      const length = Math.min(bytes.byteLength - done, ioChunkBytes);
      const written = attempt(this.path, () => writeSync(descriptor, bytes, done, length, this.#position));
      done += written;
      this.#position += written;
    }
  }

  /** Puts the content on the disk. */
  finish(): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) return;
    attempt(this.path, () => fsyncSync(descriptor));
    this.#descriptor = undefined;
    attempt(this.path, () => closeSync(descriptor));
  }

  rename(): void {
    attempt(this.path, () => renameSync(this.#temporary, this.path));
  }

  /** Removes the temporary file, if it is still there. */
  discard(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    rmSync(this.#temporary, { force: true });
  }
}

/** Writes a temporary file completely. If that fails, none is left behind. */
export function stageFile(path: string, fill: (file: StagedFile) => void): StagedFile {
  const file = new StagedFile(path);
  try {
    fill(file);
    file.finish();
    return file;
  } catch (error) {
    file.discard();
    throw error;
  }
}

/** Stages several files. If one of them fails, none is left behind. */
export function stageFiles(steps: readonly (() => StagedFile)[]): StagedFile[] {
  const files: StagedFile[] = [];
  try {
    for (const step of steps) files.push(step());
    return files;
  } catch (error) {
    for (const file of files) file.discard();
    throw error;
  }
}

/** Gives staged files of one folder their names, in order, replacing what had them. */
export function commitFiles(files: readonly StagedFile[]): void {
  try {
    for (const file of files) file.rename();
  } finally {
    for (const file of files) file.discard();
  }
  const first = files[0];
  if (first !== undefined) syncFolder(dirname(first.path));
}

/** Writes one file: afterwards it has the new content, or, if that failed, what it had before. */
export function writeFileAtomically(path: string, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  commitFiles([stageFile(path, (file) => file.write(bytes))]);
}

/** Creates a folder and those above it. */
export function makeFolder(folder: string): void {
  attempt(folder, () => mkdirSync(folder, { recursive: true }));
}

/** Makes renames and removals in a folder outlast a power cut, where the operating system can. */
export function syncFolder(folder: string): void {
  try {
    const descriptor = openSync(folder, "r");
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // Windows opens no folders, and some file systems do not sync them; the files themselves are on the disk.
  }
}

function attempt<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw fileError(path, "write", error);
  }
}

const meanings: Readonly<Record<string, readonly [reason: string, remedy: string]>> = {
  ENOENT: ["there is no such file or folder", "Check the path"],
  ENOTDIR: ["a part of the path is a file, not a folder", "Check the path"],
  EISDIR: ["is a folder, not a file", "Check the path"],
  EEXIST: ["is a file, not a folder", "Choose another path"],
  EACCES: ["this user may not do that", "Change the permissions, or choose another path"],
  EPERM: ["this user may not do that", "Change the permissions, or choose another path"],
  EROFS: ["the disk is read-only", "Choose a path on another disk"],
  ENOSPC: ["the disk is full", "Free some space; what was saved before is unchanged"],
  EDQUOT: ["the disk quota is used up", "Free some space; what was saved before is unchanged"],
  EFBIG: [
    "the file would be larger than this user may write",
    "Raise the limit (ulimit -f), or use another disk; what was saved before is unchanged",
  ],
  EMFILE: ["too many files are open", "Raise the limit (ulimit -n)"],
};

/** What a failure to read or write a file means to the user. */
export function fileError(path: string, action: "read" | "write", error: unknown): CraftError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const [reason, remedy] = meanings[code] ?? [error instanceof Error ? error.message : String(error)];
  return new CraftError({
    subject: path,
    reason: `cannot ${action}: ${reason}`,
    ...(remedy === undefined ? {} : { remedy }),
    cause: error,
  });
}
