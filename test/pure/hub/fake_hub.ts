/** @file A hub on this machine, with a host of its own for large files, and faults to be switched on. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readlinkSync, readFileSync, lstatSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

export const commit = "1234567890abcdef1234567890abcdef12345678";
export const tagCommit = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly host: "hub" | "cdn";
  readonly range: string | undefined;
  readonly token: string | undefined;
}

/** Changes what is answered; may answer itself and return true. */
export type Fault = (request: Request, response: ServerResponse, content: Buffer) => boolean;

export interface FakeHub {
  readonly endpoint: string;
  readonly requests: Request[];
  /** What was asked for, as `METHOD path`, without questions about the commit. */
  readonly asked: (host: "hub" | "cdn") => string[];
  readonly stop: () => void;
}

export interface FakeHubOptions {
  readonly files: Readonly<Record<string, Buffer | string>>;
  /** Paths that are in large storage, at the other host. */
  readonly large?: readonly string[];
  readonly id?: string;
  readonly type?: "model" | "dataset";
  /** Needed token; without it the answer is a refusal of this kind. */
  readonly token?: string;
  readonly gated?: boolean;
  readonly fault?: Fault;
  /** Changes entries of the listing. */
  readonly list?: (entry: Record<string, unknown>) => Record<string, unknown>;
}

export const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
export const gitHash = (bytes: Buffer): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

const baseOf = ({ id = defaultId, type }: FakeHubOptions): string =>
  `/${type === "dataset" ? "datasets/" : ""}${id}/resolve/`;
const apiOf = ({ id = defaultId, type = "model" }: FakeHubOptions): string => `/api/${type}s/${id}/`;
const defaultId = "some-org/some.name";

/** Large files are those of the first repository. */
export async function fakeHub(first: FakeHubOptions, ...more: readonly FakeHubOptions[]): Promise<FakeHub> {
  const filesOf = ({ files }: FakeHubOptions): Map<string, Buffer> =>
    new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)]));
  const requests: Request[] = [];
  const refs = new Map([
    ["main", commit],
    ["HEAD", commit],
    ["refs/pr/1", commit],
    [commit, commit],
    ["v1.0", tagCommit],
    [tagCommit, tagCommit],
  ]);
  const cdn = await listen((request, response) => {
    const seen = note(request, "cdn", requests);
    const content = filesOf(first).get(decodeURIComponent(seen.path.slice(1)))!;
    if (first.fault?.(seen, response, content) !== true) sendFile(request, response, content);
  });
  const hub = await listen((request, response) => {
    const seen = note(request, "hub", requests);
    const refuse = (status: number, code: string): void =>
      void response.writeHead(status, { "x-error-code": code, "x-error-message": `said ${code}` }).end();
    const options = [first, ...more].find(
      (repo) => seen.path.startsWith(baseOf(repo)) || seen.path.startsWith(apiOf(repo)),
    );
    if (options === undefined) return refuse(seen.token === undefined ? 401 : 404, "RepoNotFound");
    const { id = defaultId, large = [] } = options;
    const files = filesOf(options);
    const [base, api] = [baseOf(options), apiOf(options)];
    if (options.token !== undefined && seen.token !== `Bearer ${options.token}`) {
      if (options.gated !== true) return refuse(401, "RepoNotFound");
      return refuse(seen.token === undefined ? 401 : 403, "GatedRepo");
    }
    const rest = seen.path.slice(seen.path.startsWith(base) ? base.length : api.length).split("/");
    const word = seen.path.startsWith(base) ? "resolve" : rest.shift()!;
    const revision = decodeURIComponent(rest.shift()!);
    const at = refs.get(revision);
    if (at === undefined) return refuse(404, "RevisionNotFound");
    const path = decodeURIComponent(rest.join("/"));
    const content = files.get(path) ?? Buffer.alloc(0);
    if (options.fault?.(seen, response, content) === true) return;
    if (word === "revision")
      return sendJson(response, { _id: "1", id, sha: at, private: false, lastModified: 0 });
    if (word === "tree") {
      const entries = [...files].map(([name, bytes]) => entryOf(name, bytes, large.includes(name)));
      return sendJson(response, entries.map(options.list ?? ((entry) => entry)));
    }
    if (!files.has(path)) return refuse(404, "EntryNotFound");
    const headers = { "x-repo-commit": at, etag: `"${gitHash(content)}"` };
    if (!large.includes(path)) return sendFile(request, response, content, headers);
    response.writeHead(302, {
      ...headers,
      location: `${cdn.url}/${encodeURIComponent(path)}`,
      "x-linked-etag": `"${sha256(content)}"`,
      "x-linked-size": content.length,
    });
    response.end();
  });
  const stop = (): void => {
    for (const { server } of [hub, cdn]) {
      server.closeAllConnections();
      server.close();
    }
  };
  onTestFinished(stop);
  return {
    endpoint: hub.url,
    requests,
    asked: (host) =>
      requests
        .filter((request) => request.host === host && !request.path.startsWith("/api/"))
        .map(
          ({ method, path }) => `${method} ${path.replace(baseOf(first), "").replace(/^[0-9a-f]{40}\//, "")}`,
        ),
    stop,
  };
}

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "craft-hub-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** All that is in a cache but locks: links with their targets, blobs with their hashes, texts. */
export function layoutOf(folder: string): Record<string, Record<string, string>> {
  const found: Record<string, Record<string, string>> = {};
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()) {
    const path = join(folder, entry);
    const state = lstatSync(path);
    if (entry.startsWith(".locks") || state.isDirectory()) continue;
    if (state.isSymbolicLink()) found[entry] = { link: readlinkSync(path) };
    else if (entry.includes("blobs")) found[entry] = { sha256: sha256(readFileSync(path)) };
    else found[entry] = { text: readFileSync(path, "utf8") };
  }
  return found;
}

/** Answers as file servers do, with ranges. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  file: Buffer,
  headers: Readonly<Record<string, string>> = {},
): void {
  const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (start > 0 && start >= file.length) {
    response.writeHead(416, { "content-range": `bytes */${file.length}` }).end();
    return;
  }
  const range = { "content-range": `bytes ${start}-${file.length - 1}/${file.length}` };
  response.writeHead(start > 0 ? 206 : 200, {
    ...headers,
    "content-length": file.length - start,
    ...(start > 0 ? range : {}),
  });
  response.end(request.method === "HEAD" ? undefined : file.subarray(start));
}

/** Sends some bytes, leaves the other side time to read them, and breaks the connection. */
export function cut(response: ServerResponse, content: Buffer, from: number, to: number): true {
  const range = from > 0 ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {};
  response.writeHead(from > 0 ? 206 : 200, { "content-length": content.length - from, ...range });
  response.write(content.subarray(from, to), () => setTimeout(() => response.destroy(), 100));
  return true;
}

function entryOf(path: string, content: Buffer, isLarge: boolean): Record<string, unknown> {
  const entry = { type: "file", path, size: content.length };
  if (!isLarge) return { ...entry, oid: gitHash(content) };
  const pointer = Buffer.from(
    `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(content)}\nsize ${content.length}\n`,
  );
  const lfs = { oid: sha256(content), size: content.length, pointerSize: pointer.length };
  return { ...entry, oid: gitHash(pointer), lfs };
}

function note(request: IncomingMessage, host: "hub" | "cdn", requests: Request[]): Request {
  const { method = "", url = "" } = request;
  const seen = {
    method,
    path: url.split("?")[0]!,
    host,
    range: request.headers.range,
    token: request.headers.authorization,
  };
  requests.push(seen);
  return seen;
}

function sendJson(response: ServerResponse, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
}

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; server: Server }> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `http://127.0.0.1:${address.port}`, server };
}
