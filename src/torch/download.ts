import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CraftError } from "../errors.js";
import { isSystemError } from "./wheel.js";

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

async function transfer(
  url: string,
  headers: Readonly<Record<string, string>>,
  target: string,
  options: DownloadOptions,
): Promise<void> {
  const { attempts = 4, pauseMs = 500 } = options;
  let failures = 0;
  for (;;) {
    const before = await sizeOf(target);
    let trouble: string;
    try {
      const outcome = await fetchRest(url, headers, target, before, options);
      if (outcome === "complete") return;
      trouble = outcome;
    } catch (cause) {
      if (!isNetworkError(cause)) throw cause;
      trouble = describeNetworkError(cause);
    }
    failures = (await sizeOf(target)) > before ? 1 : failures + 1;
    if (failures >= attempts) {
      throw new CraftError({
        subject: "download",
        value: url,
        reason: `failed ${failures} times in a row: ${trouble}`,
        remedy:
          "Check the network and the proxy; CRAFT_LIBTORCH_URL names a mirror. What has arrived is kept.",
      });
    }
    await sleep(pauseMs * 2 ** (failures - 1));
  }
}

/** Asks for the bytes from `have` on and appends them. Returns "complete", or in words what went wrong. */
async function fetchRest(
  url: string,
  headers: Readonly<Record<string, string>>,
  target: string,
  have: number,
  options: DownloadOptions,
): Promise<string> {
  const abort = new AbortController();
  const silence = options.silenceMs ?? 60_000;
  const giveUp = (): void => abort.abort(new Silence(`the server was silent for ${silence / 1000} s`));
  let timer = setTimeout(giveUp, silence);
  try {
    const response = await fetch(url, {
      headers: have > 0 ? { ...headers, range: `bytes=${have}-` } : headers,
      signal: abort.signal,
    });
    if (response.status === 416) {
      // Either all of it is here already, or what is here belongs to another file.
      if (rangeTotal(response) === have) return "complete";
      await rm(target, { force: true });
      return "the server has no such range";
    }
    if (response.status >= 500 || response.status === 408 || response.status === 429) {
      return `the server answered ${response.status} ${response.statusText}`.trim();
    }
    if (!response.ok || response.body === null) {
      throw new CraftError({
        subject: "download",
        value: url,
        reason: `the server answered ${`${response.status} ${response.statusText}`.trim()}`,
        remedy: "Check the version and CRAFT_LIBTORCH_URL, or give a wheel with `craft install --from`.",
      });
    }
    const start = response.status === 206 ? rangeStart(response) : 0;
    if (start !== have && start !== 0) return `the server sent bytes from ${start} on instead of ${have}`;
    const total = response.status === 206 ? rangeTotal(response) : contentLength(response);

    const file = await open(target, start === 0 ? "w" : "a");
    let done = start;
    try {
      options.onProgress?.(done, total);
      const chunks: AsyncIterable<Uint8Array> = response.body;
      for await (const chunk of chunks) {
        clearTimeout(timer);
        timer = setTimeout(giveUp, silence);
        await file.writeFile(chunk);
        done += chunk.length;
        options.onProgress?.(done, total);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    if (total !== undefined && done < total) return `the connection broke after ${done} of ${total} bytes`;
    return "complete";
  } finally {
    clearTimeout(timer);
  }
}

const contentRange = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/;

function rangeStart(response: Response): number {
  return Number(contentRange.exec(response.headers.get("content-range") ?? "")?.[1] ?? 0);
}

function rangeTotal(response: Response): number | undefined {
  const total = contentRange.exec(response.headers.get("content-range") ?? "")?.[2];
  return total === undefined || total === "*" ? undefined : Number(total);
}

function contentLength(response: Response): number | undefined {
  const length = response.headers.get("content-length");
  return length === null ? undefined : Number(length);
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch {
    return 0;
  }
}

/** The sha256 of a file, hexadecimal. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  const chunks: AsyncIterable<Buffer> = createReadStream(file, { highWaterMark: 1 << 20 });
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

class Silence extends Error {}

/** Whether trying again can help: not with a full disk, nor with a mistake of ours. `fetch` wraps what sockets say. */
function isNetworkError(error: unknown): error is Error {
  if (error instanceof Silence || (error instanceof TypeError && error.cause !== undefined)) return true;
  return isSystemError(error) && !["open", "write", "fsync", "mkdir", "unlink"].includes(error.syscall ?? "");
}

function describeNetworkError(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
