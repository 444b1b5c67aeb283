/** @file One file of a hub into the cache: asked for, fetched, checked, and only then given its name. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { CraftError } from "../errors.js";
import { withFileLock } from "../file_lock.js";
import { isSystemError, sizeOf, transferFile, type TransferFile } from "../transfer.js";
import { diskError, exists, type HubFile, type RepoCache } from "./cache.js";
import { describeRepo, redirection, type HubClient, type Wanted } from "./client.js";

/** What a fetch needs beside the file itself; all of it has a default. */
export interface FetchServices {
  /** Told how many bytes of the file are here. */
  readonly onBytes?: (done: number) => void;
  /** Told that another process fetches the file. */
  readonly onWait?: () => void;
  readonly signal?: AbortSignal;
  /** Opens the file that bytes are written to. */
  readonly openFile?: ((path: string, flags: "w" | "a") => Promise<TransferFile>) | undefined;
  /** Wait before a broken transfer is taken up again, in milliseconds. */
  readonly pauseMs?: number | undefined;
}

/** Larger files are to be had by the hub's xet protocol only. */
const largestBytes = 50e9;

/**
 * Puts a file of a commit into the cache, unless it is there.
 *
 * Bytes arrive in `blobs/HASH.incomplete`, which a later attempt goes on from. They become `blobs/HASH` when their number
 * and their hash are what the hub's listing says, and the file of the snapshot links there.
 *
 * @returns the path of the file.
 * @throws CraftError if the hub refuses or lies, the connection stays broken, or the disk is full.
 */
export async function fetchFile(
  client: HubClient,
  cache: RepoCache,
  wanted: Wanted & { readonly commit: string },
  file: HubFile,
  services: FetchServices = {},
): Promise<string> {
  const { commit } = wanted;
  const pointer = cache.pointer(commit, file.path);
  if (await exists(pointer)) return pointer;
  const question = { ...wanted, file: file.path };
  if (file.size > largestBytes)
    throw new CraftError({
      subject: `${describeRepo(wanted.repo)}, file ${file.path}`,
      value: `${(file.size / 1e9).toFixed(1)} GB`,
      reason: "is larger than the hub gives over HTTP (50 GB)",
      remedy: `Fetch it with \`hf download ${wanted.repo.name}\`, which puts it into the same cache`,
    });
  await checkAnnounced(client, question, file);
  const etag = hashOf(file);
  const blob = cache.blob(etag);
  const lock = cache.lock(etag);
  try {
    await cache.tag();
    await mkdir(dirname(blob), { recursive: true });
    await mkdir(dirname(lock), { recursive: true });
    await withFileLock(lock, services.onWait ?? (() => undefined), async () => {
      if ((await exists(blob)) && (await sizeOf(blob)) === file.size) return;
      const incomplete = `${blob}.incomplete`;
      const resumed = (await sizeOf(incomplete)) > 0;
      await transfer(client, question, file, incomplete, services);
      let digest = await digestOf(incomplete, file);
      if (digest !== etag && resumed) {
        // What an earlier attempt left may have been another's; that is no fault of the hub's.
        await rm(incomplete, { force: true });
        await transfer(client, question, file, incomplete, services);
        digest = await digestOf(incomplete, file);
      }
      if (digest !== etag) {
        await rm(incomplete, { force: true });
        throw wrongHash(client, question, file, digest);
      }
      await rename(incomplete, blob);
    });
    return await cache.link(commit, file.path, etag);
  } catch (error) {
    throw isSystemError(error)
      ? diskError(client.settings.cacheDir, `${describeRepo(wanted.repo)}, file ${file.path}`, error)
      : error;
  }
}

/** What the hub says about a file and what its listing says must be the same. */
async function checkAnnounced(
  client: HubClient,
  wanted: Wanted & { readonly commit: string },
  file: HubFile,
): Promise<void> {
  const { headers, status } = await client.get(addressOf(client, wanted, file), wanted, { method: "HEAD" });
  const commit = headers.get("x-repo-commit");
  if (commit !== wanted.commit)
    throw client.dishonest(wanted, `answers for commit ${commit ?? "unknown"} instead of ${wanted.commit}`);
  const hash = headers.get("x-linked-etag")?.replaceAll(/^W\/|"/g, "");
  if (hash !== undefined && hash !== hashOf(file))
    throw client.dishonest(wanted, `says that its hash is ${hash}, and its listing says ${hashOf(file)}`);
  const size = headers.get("x-linked-size") ?? (status < 300 ? headers.get("content-length") : null);
  if (size !== null && Number(size) !== file.size)
    throw client.dishonest(wanted, `says that it has ${size} bytes, and its listing says ${file.size}`);
}

/** The hash by which the hub knows a file's content. It is the entity tag too, and the name of the blob. */
const hashOf = ({ sha256, oid }: HubFile): string => sha256 ?? oid;

function addressOf(
  client: HubClient,
  { repo, commit }: Wanted & { readonly commit: string },
  { path }: HubFile,
): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `${client.settings.endpoint}/${repo.type === "dataset" ? "datasets/" : ""}${repo.name}/resolve/${commit}/${encoded}`;
}

async function transfer(
  client: HubClient,
  wanted: Wanted & { readonly commit: string },
  file: HubFile,
  target: string,
  { onBytes, signal, openFile, pauseMs }: FetchServices,
): Promise<void> {
  if (file.size === 0) {
    await writeFile(target, "");
    return;
  }
  const subject = `${describeRepo(wanted.repo)}, file ${file.path}`;
  let refusal: CraftError | undefined;
  await transferFile(target, {
    size: file.size,
    signal,
    openFile,
    pauseMs,
    silenceMs: client.settings.timeoutMs.bytes,
    onProgress: (done) => onBytes?.(done),
    request: async (range, stop) => {
      const response = await followed(client, wanted, addressOf(client, wanted, file), range, stop);
      // The body tells why, and is gone once the transfer has looked at the status.
      if (!response.ok && response.status < 500 && response.status !== 416)
        refusal = await client.refusal(response, wanted);
      return response;
    },
    refused: () => refusal ?? client.dishonest(wanted, "sends no file"),
    exhausted: (failures, trouble) =>
      new CraftError({
        subject,
        reason: `fetching it failed ${failures} times in a row: ${trouble}`,
        remedy:
          "Check the network and the proxy, and try again: what has arrived is kept, and the rest will be asked for",
      }),
  });
}

/** Asks for a file and follows where the hub keeps it; only the hub itself is shown the token. */
async function followed(
  client: HubClient,
  wanted: Wanted,
  address: string,
  range: string | undefined,
  signal: AbortSignal,
): Promise<Response> {
  let url = new URL(address);
  for (let hops = 0; hops < 6; hops++) {
    const response = await client.ask(url, { headers: range === undefined ? {} : { range }, signal });
    const next = redirection(response, url);
    if (next === undefined) return response;
    if (!/^https?:$/.test(next.protocol) || (url.protocol === "https:" && next.protocol === "http:"))
      throw client.dishonest(wanted, `sends on to ${next.origin}, which is not to be trusted`);
    await response.body?.cancel();
    url = next;
  }
  throw client.dishonest(wanted, "redirects without end");
}

/** The hash of a file as Git or large storage computes it, hexadecimal. */
async function digestOf(path: string, { sha256, size }: HubFile): Promise<string> {
  const hash = createHash(sha256 === undefined ? "sha1" : "sha256");
  if (sha256 === undefined) hash.update(`blob ${size}\0`);
  const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 1 << 20 });
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

function wrongHash(client: HubClient, { repo }: Wanted, file: HubFile, digest: string): CraftError {
  return new CraftError({
    subject: `${describeRepo(repo)}, file ${file.path}`,
    value: client.settings.endpoint,
    reason: `what arrived has the ${file.sha256 === undefined ? "Git hash" : "sha256"} ${digest} instead of ${hashOf(file)}, and was removed`,
    remedy: "Try again; if it stays so, check HF_ENDPOINT and what stands between this machine and the hub",
  });
}
