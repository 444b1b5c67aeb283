import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { CraftError } from "../errors.js";
import { answered, sizeOf, transferFile } from "../transfer.js";

export interface DownloadOptions {
  /** Hexadecimal; checked over the whole file. */
  readonly sha256?: string;
  readonly onProgress?: (done: number, total: number | undefined) => void;
  /** How often in a row a transfer may fail without bringing a single byte. Default 4. */
  readonly attempts?: number;
  /** Wait before the first repetition, doubled each time, in milliseconds. Default 500. */
  readonly pauseMs?: number;
  /** How long the server may stay silent, in milliseconds. Default 60 000. */
  readonly silenceMs?: number;
}

/**
 * Fetches a file over HTTP into `target`. What is there already is taken as the beginning of the file, and only
 * the rest is asked for; a cut connection is taken up where it broke.
 *
 * @throws CraftError when the server refuses, stays unreachable, or sends other bytes than `sha256` says.
 */
export async function download(
  address: string,
  target: string,
  options: DownloadOptions = {},
): Promise<void> {
  const { url, headers } = splitCredentials(address);
  await mkdir(dirname(target), { recursive: true });
  const resumed = (await sizeOf(target)) > 0;
  await transfer(url, headers, target, options);
  if (options.sha256 === undefined) return;
  let digest = await sha256Of(target);
  if (digest !== options.sha256 && resumed) {
    // The beginning may have been left by another file of that name; that is no fault of the server's.
    await rm(target, { force: true });
    await transfer(url, headers, target, options);
    digest = await sha256Of(target);
  }
  if (digest !== options.sha256) {
    await rm(target, { force: true });
    throw new CraftError({
      subject: "download",
      value: url,
      reason: `has the sha256 ${digest} instead of ${options.sha256}`,
      remedy: "Check CRAFT_LIBTORCH_URL and what stands between this machine and the server, then try again.",
    });
  }
}

/**
 * Takes a user name and password out of an address, so that they appear in no message and no file, and makes the
 * header of them that servers ask for.
 */
export function splitCredentials(address: string): {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
} {
  const url = new URL(address);
  if (url.username === "" && url.password === "") return { url: address, headers: {} };
  const words = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = "";
  url.password = "";
  return { url: url.href, headers: { authorization: `Basic ${Buffer.from(words).toString("base64")}` } };
}

function transfer(
  url: string,
  headers: Readonly<Record<string, string>>,
  target: string,
  options: DownloadOptions,
): Promise<void> {
  const { attempts, pauseMs, silenceMs, onProgress } = options;
  const error = (reason: string, remedy: string): CraftError =>
    new CraftError({ subject: "download", value: url, reason, remedy });
  return transferFile(target, {
    attempts,
    pauseMs,
    silenceMs,
    onProgress,
    request: (range, signal) =>
      fetch(url, { headers: range === undefined ? headers : { ...headers, range }, signal }),
    refused: (response) =>
      error(
        answered(response),
        "Check the version and CRAFT_LIBTORCH_URL, or give a wheel with `craft install --from`.",
      ),
    exhausted: (failures, trouble) =>
      error(
        `failed ${failures} times in a row: ${trouble}`,
        "Check the network and the proxy; CRAFT_LIBTORCH_URL names a mirror. What has arrived is kept.",
      ),
  });
}

/** The sha256 of a file, hexadecimal. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  const chunks: AsyncIterable<Buffer> = createReadStream(file, { highWaterMark: 1 << 20 });
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}
