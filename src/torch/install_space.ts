import { statfs } from "node:fs/promises";
import { CraftError } from "../errors.js";

/** A wheel and what is unpacked from it, on the platform where they are largest. */
export const WANTED_BYTES = 650e6;

const mega = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;

/** Bytes free to this user on the disk that a folder lies on. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** @throws CraftError when the disk has fewer than `wanted` bytes free. */
export async function checkSpace(
  cache: string,
  wanted: number,
  freeBytes: (folder: string) => Promise<number>,
): Promise<void> {
  const free = await freeBytes(cache);
  if (free >= wanted) return;
  throw new CraftError({
    subject: "cache folder",
    value: cache,
    reason: `has ${mega(free)} free, and installing libtorch wants ${mega(wanted)}`,
    remedy: "Free some space, or set CRAFT_CACHE to a folder on another disk.",
  });
}

/** What a failure of the operating system during an installation means to the user. */
export function diskError(cache: string, error: NodeJS.ErrnoException): CraftError {
  const full = error.code === "ENOSPC" || error.code === "EDQUOT";
  return new CraftError({
    subject: "cache folder",
    value: cache,
    reason: full ? "the disk became full while installing; nothing was left behind" : error.message,
    remedy: full
      ? "Free some space, or set CRAFT_CACHE to a folder on another disk."
      : "Set CRAFT_CACHE to a folder of yours.",
    cause: error,
  });
}
