/** @file Fetches one file over HTTP, and takes it up again where the connection broke. */
import { open, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { CraftError } from "./errors.js";

/** What the arriving bytes are written to. */
export interface TransferFile {
  writeFile(chunk: Uint8Array): Promise<void>;
  /** Puts what was written on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface TransferOptions {
  /** Asks for the file; `range` is the header's value, undefined for all of it. */
  readonly request: (range: string | undefined, signal: AbortSignal) => Promise<Response>;
  /** The error for an answer that stays the same however often one asks. */
  readonly refused: (response: Response) => CraftError;
  /** The error after too many failures in a row. */
  readonly exhausted: (failures: number, trouble: string) => CraftError;
  /** Bytes of the whole file, where they are known beforehand; an answer with more is cut off. */
  readonly size?: number | undefined;
  readonly onProgress?: ((done: number, total: number | undefined) => void) | undefined;
  /** How often in a row a transfer may fail without bringing a single byte. Default 4. */
  readonly attempts?: number | undefined;
  /** Wait before the first repetition, doubled each time, in milliseconds. Default 500. */
  readonly pauseMs?: number | undefined;
  /** How long the server may stay silent, in milliseconds. Default 60 000. */
  readonly silenceMs?: number | undefined;
  /** Ends the transfer; what has arrived stays. */
  readonly signal?: AbortSignal | undefined;
  /** Opens the target: "w" for a new file, "a" to append. */
  readonly openFile?: ((path: string, flags: "w" | "a") => Promise<TransferFile>) | undefined;
}

/**
 * Fetches a file into `target`. What is there already is taken as its beginning, and only the rest is asked for. The
 * bytes are not checked, apart from their number.
 *
 * @throws CraftError by `refused` and `exhausted`; errors of the disk come as they are.
 */
export async function transferFile(target: string, options: TransferOptions): Promise<void> {
  const { attempts = 4, pauseMs = 500, signal } = options;
  let failures = 0;
  for (;;) {
    signal?.throwIfAborted();
    const before = await sizeOf(target);
    if (before === options.size) return;
    let trouble: string;
    try {
      const outcome = await fetchRest(target, before, options);
      if (outcome === "complete") return;
      trouble = outcome;
    } catch (cause) {
      signal?.throwIfAborted();
      if (!isNetworkError(cause)) throw cause;
      trouble = describeNetworkError(cause);
    }
    failures = (await sizeOf(target)) > before ? 1 : failures + 1;
    if (failures >= attempts) throw options.exhausted(failures, trouble);
    await sleep(pauseMs * 2 ** (failures - 1), undefined, signal === undefined ? {} : { signal });
  }
}

/** Asks for the bytes from `have` on and appends them. Returns "complete", or in words what went wrong. */
async function fetchRest(target: string, have: number, options: TransferOptions): Promise<string> {
  const abort = new AbortController();
  const silence = options.silenceMs ?? 60_000;
  const giveUp = (): void => abort.abort(new Trouble(`the server was silent for ${silence / 1000} s`));
  const stop = (): void => abort.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", stop);
  let timer = setTimeout(giveUp, silence);
  try {
    const response = await options.request(have > 0 ? `bytes=${have}-` : undefined, abort.signal);
    if (response.status === 416) {
      // Either all of it is here already, or what is here belongs to another file.
      if (rangeTotal(response) === have && options.size === undefined) return "complete";
      await rm(target, { force: true });
      return "the server has no such range";
    }
    if (isPassing(response.status)) return answered(response);
    if (!response.ok || response.body === null) throw options.refused(response);
    const start = response.status === 206 ? rangeStart(response) : 0;
    if (start !== have && start !== 0) return `the server sent bytes from ${start} on instead of ${have}`;
    const stated = response.status === 206 ? rangeTotal(response) : contentLength(response);
    const total = options.size ?? stated;
    if (stated !== undefined && stated !== total) {
      await response.body.cancel();
      return `the server sends ${stated} bytes instead of ${total}`;
    }

    const file = await (options.openFile ?? open)(target, start === 0 ? "w" : "a");
    let done = start;
    try {
      options.onProgress?.(done, total);
      const chunks: AsyncIterable<Uint8Array> = response.body;
      for await (const chunk of chunks) {
        clearTimeout(timer);
        timer = setTimeout(giveUp, silence);
        if (options.size !== undefined && done + chunk.length > options.size)
          throw new Trouble(`the server sends more than ${options.size} bytes`);
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
    options.signal?.removeEventListener("abort", stop);
  }
}

/** Whether an answer is one that may be another the next time. */
export const isPassing = (status: number): boolean => status >= 500 || status === 408 || status === 429;

/** An answer in words. */
export const answered = ({ status, statusText }: Response): string =>
  `the server answered ${`${status} ${statusText}`.trim()}`;

const contentRange = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/;

function rangeStart(response: Response): number {
  return Number(contentRange.exec(response.headers.get("content-range") ?? "")?.[1] ?? 0);
}

function rangeTotal(response: Response): number | undefined {
  const total = contentRange.exec(response.headers.get("content-range") ?? "")?.[2];
  return total === undefined || total === "*" ? undefined : Number(total);
}

/** Bytes of a body; unknown where it is compressed on its way. */
function contentLength(response: Response): number | undefined {
  const length = response.headers.get("content-length");
  return length === null || response.headers.has("content-encoding") ? undefined : Number(length);
}

/** Bytes of a file; 0 if there is none. */
export async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch {
    return 0;
  }
}

/** A transfer that was given up for what the server did. */
class Trouble extends Error {}

/** Whether an error came from the operating system (a full disk, a missing right) and not from the data. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "errno" in error && "syscall" in error;
}

/** Whether trying again can help: not with a full disk, nor with a mistake of ours. `fetch` wraps what sockets say. */
export function isNetworkError(error: unknown): error is Error {
  if (error instanceof Trouble || (error instanceof TypeError && error.cause !== undefined)) return true;
  return isSystemError(error) && !["open", "write", "fsync", "mkdir", "unlink"].includes(error.syscall ?? "");
}

/** What a network error says, with its cause. */
export function describeNetworkError(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
