/** @file Remembers which libraries passed their trial, so that later runs need not start a child process. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requiredLibraries } from "./library_files.js";

/**
 * Whether the libraries in a folder passed their trial and have not changed since: same path, sizes and
 * modification times.
 */
export function wasVerified(libDir: string, cache: string): boolean {
  try {
    const [file, state] = describe(libDir, cache);
    return readFileSync(file, "utf8") === state;
  } catch {
    return false;
  }
}

/** Notes that the libraries in a folder passed their trial. A cache that cannot be written only costs time later. */
export function rememberVerified(libDir: string, cache: string): void {
  try {
    const [file, state] = describe(libDir, cache);
    mkdirSync(join(cache, "verified"), { recursive: true });
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, state);
    renameSync(temporary, file);
  } catch {
    // The next run tries the library again.
  }
}

/** Takes the note back, so that the next run tries the library again. */
export function forgetVerified(libDir: string, cache: string): void {
  try {
    rmSync(describe(libDir, cache)[0], { force: true });
  } catch {
    // Without the libraries there is no note that could be believed.
  }
}

function describe(libDir: string, cache: string): [file: string, state: string] {
  const path = realpathSync(libDir);
  const name = createHash("sha256").update(path).digest("hex").slice(0, 24);
  const files = requiredLibraries().map((library) => {
    const { size, mtimeMs } = statSync(join(path, library));
    return { library, size, mtimeMs };
  });
  const state = JSON.stringify({ path, platform: process.platform, arch: process.arch, files });
  return [join(cache, "verified", `${name}.json`), state];
}
