import { homedir } from "node:os";
import { posix, win32 } from "node:path";
import { CraftError } from "../errors.js";

const FOLDER = "contrastive-ft";

/**
 * The folder in which this package keeps what it can make again: installed copies of libtorch and
 * the notes on which of them were tried.
 *
 * `CRAFT_CACHE` names it outright; otherwise `$XDG_CACHE_HOME/contrastive-ft`, or the platform's own place:
 * `~/.cache` on Linux, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows.
 *
 * @throws CraftError when `CRAFT_CACHE` is a relative path, since its meaning would change with the working folder.
 */
export function cacheDirectory(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  const path = platform === "win32" ? win32 : posix;
  const own = env["CRAFT_CACHE"];
  if (own !== undefined && own !== "") {
    if (!path.isAbsolute(own)) {
      throw new CraftError({
        subject: "CRAFT_CACHE",
        value: own,
        reason: "is a relative path, which would name another folder from each working folder",
        remedy: "Give an absolute path.",
      });
    }
    return own;
  }
  const xdg = env["XDG_CACHE_HOME"];
  // The XDG rules say that a relative path there is to be ignored.
  if (xdg !== undefined && path.isAbsolute(xdg)) return path.join(xdg, FOLDER);
  if (platform === "darwin") return path.join(home, "Library", "Caches", FOLDER);
  if (platform === "win32")
    return path.join(env["LOCALAPPDATA"] ?? path.join(home, "AppData", "Local"), FOLDER);
  return path.join(home, ".cache", FOLDER);
}
