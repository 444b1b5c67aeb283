import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { download } from "../../../src/torch/download.js";
import { installLibtorch, type InstallServices } from "../../../src/torch/install.js";
import { wheelTarget } from "../../../src/torch/wheel_names.js";
import { addInstalled, emptyEnvironment, fakeWheel, sha256, temporaryFolder } from "./install_fakes.js";

const body = Buffer.from(Array.from({ length: 200_000 }, (_unused, i) => (i * 7919) % 251));
const digest = sha256(body).toString("hex");

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** A server on this machine, and the `Range` headers of what it was asked. */
async function serve(
  handler: Handler,
): Promise<{ url: string; ranges: (string | undefined)[]; paths: string[] }> {
  const ranges: (string | undefined)[] = [];
  const paths: string[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    paths.push(request.url ?? "");
    handler(request, response, ranges.length);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `http://127.0.0.1:${address.port}`, ranges, paths };
}

/** Answers as file servers do, with ranges. */
function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  file: Buffer,
  stopAt = file.length,
): void {
  const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (start >= file.length) {
    response.writeHead(416, { "content-range": `bytes */${file.length}` }).end();
    return;
  }
  const range = { "content-range": `bytes ${start}-${file.length - 1}/${file.length}` };
  response.writeHead(start > 0 ? 206 : 200, {
    "content-length": file.length - start,
    ...(start > 0 ? range : {}),
  });
  if (stopAt >= file.length) response.end(file.subarray(start));
  else cutAfter(response, file.subarray(start, stopAt));
}

/** Sends some bytes, leaves the other side time to read them, and breaks the connection. */
function cutAfter(response: ServerResponse, bytes: Buffer): void {
  response.write(bytes, () => setTimeout(() => response.destroy(), 300));
}

const quick = { pauseMs: 1, sha256: digest };
const target = (): string => join(temporaryFolder(), "downloads", "file.part");

describe("download", () => {
  it("fetches a file and tells how far it is", async () => {
    const { url, ranges } = await serve((request, response) => sendFile(request, response, body));
    const file = target();
    const seen: [number, number | undefined][] = [];
    await download(url, file, { ...quick, onProgress: (done, total) => seen.push([done, total]) });
    expect(readFileSync(file).equals(body)).toBe(true);
    expect(seen[0]).toEqual([0, body.length]);
    expect(seen.at(-1)).toEqual([body.length, body.length]);
    expect(ranges).toEqual([undefined]);
  });

  it("takes a cut connection up where it broke", async () => {
    const { url, ranges } = await serve((request, response, count) =>
      sendFile(request, response, body, [60_000, 130_000][count - 1]),
    );
    const file = target();
    await download(url, file, quick);
    expect(readFileSync(file).equals(body)).toBe(true);
    expect(ranges).toEqual([undefined, "bytes=60000-", "bytes=130000-"]);
  });

  it("takes up what an earlier process left", async () => {
    const { url, ranges } = await serve((request, response) => sendFile(request, response, body));
    const file = join(temporaryFolder(), "file.part");
    writeFileSync(file, body.subarray(0, 150_000));
    await download(url, file, quick);
    expect(readFileSync(file).equals(body)).toBe(true);
    expect(ranges).toEqual(["bytes=150000-"]);
    await download(url, file, quick);
    expect(ranges).toEqual(["bytes=150000-", "bytes=200000-"]);
  });

  it("begins anew when what was left belongs to another file", async () => {
    const { url, ranges } = await serve((request, response) => sendFile(request, response, body));
    const file = join(temporaryFolder(), "file.part");
    writeFileSync(file, Buffer.alloc(1000, 9));
    await download(url, file, quick);
    expect(readFileSync(file).equals(body)).toBe(true);
    writeFileSync(file, Buffer.alloc(300_000, 9));
    await download(url, file, quick);
    expect(readFileSync(file).equals(body)).toBe(true);
    expect(ranges).toEqual(["bytes=1000-", undefined, "bytes=300000-", undefined]);
  });

  it("works with a server that does not know ranges", async () => {
    const { url } = await serve((_request, response, count) => {
      response.writeHead(200, { "content-length": body.length });
      if (count === 1) cutAfter(response, body.subarray(0, 50_000));
      else response.end(body);
    });
    const file = target();
    await download(url, file, quick);
    expect(readFileSync(file).equals(body)).toBe(true);
  });

  it("tries again when the server is in trouble or silent", async () => {
    const { url, ranges } = await serve((request, response, count) => {
      if (count === 1) response.writeHead(503).end();
      else if (count > 2) sendFile(request, response, body);
    });
    const file = target();
    await download(url, file, { ...quick, silenceMs: 200 });
    expect(readFileSync(file).equals(body)).toBe(true);
    expect(ranges).toHaveLength(3);
  });

  it("gives up at once when the file is not there", async () => {
    const { url, ranges } = await serve((_request, response) => response.writeHead(404).end());
    await expect(download(`${url}/x.whl`, target(), quick)).rejects.toThrow(
      /x\.whl: the server answered 404 Not Found/,
    );
    expect(ranges).toHaveLength(1);
  });

  it("gives up after some failures in a row and keeps what has arrived", async () => {
    const { url, ranges } = await serve((request, response, count) => {
      if (count === 1) sendFile(request, response, body, 60_000);
      else response.writeHead(500).end();
    });
    const file = target();
    const outcome = download(url, file, { ...quick, attempts: 3 });
    await expect(outcome).rejects.toThrow(/failed 3 times in a row: the server answered 500/);
    expect(ranges).toHaveLength(3);
    expect(readFileSync(file).equals(body.subarray(0, 60_000))).toBe(true);
  });

  it("sends a password as a header and shows it nowhere", async () => {
    const seen: (string | undefined)[] = [];
    const { url } = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(403).end();
    });
    const address = url.replace("//", "//me:s%3Acret@");
    const error: unknown = await download(address, target(), quick).catch((cause: unknown) => cause);
    expect(seen).toEqual([`Basic ${Buffer.from("me:s:cret").toString("base64")}`]);
    expect(String(error)).toContain("the server answered 403");
    expect(String(error)).not.toContain("cret");
  });

  it("refuses other bytes than promised and does not keep them", async () => {
    const { url } = await serve((request, response) => sendFile(request, response, body));
    const file = target();
    const wrong = "0".repeat(64);
    await expect(download(url, file, { ...quick, sha256: wrong })).rejects.toThrow(
      `has the sha256 ${digest} instead of ${wrong}`,
    );
    expect(existsSync(file)).toBe(false);
  });
});

describe("installing from the wheel host", () => {
  const services: InstallServices = {
    verify: async () => ({ ok: true, version: "2.12.0", threads: 1 }),
    freeBytes: async () => 1e12,
  };

  it("fetches the wheel of the platform, through a cut connection, and keeps only what it holds", async () => {
    const wheel = fakeWheel();
    const { url, paths } = await serve((request, response, count) =>
      sendFile(request, response, wheel, count === 1 ? 500 : wheel.length),
    );
    const env = { ...emptyEnvironment(temporaryFolder()), CRAFT_LIBTORCH_URL: `${url}/cpu/` };
    const messages: string[] = [];
    const location = await installLibtorch(
      { version: "2.12.0", env, onProgress: ({ message }) => messages.push(message) },
      services,
    );
    expect(location).toMatchObject({ version: "2.12.0+cpu", rule: "installed" });
    const name = wheelTarget("2.12.0").fileName;
    expect(new Set(paths)).toEqual(new Set([`/cpu/${encodeURIComponent(name)}`]));
    expect(messages).toContain(`fetching ${name}`);
    expect(readdirSync(join(env.CRAFT_CACHE, "downloads"))).toEqual([]);
  });

  it("replaces an installation that does not work", async () => {
    const wheel = fakeWheel();
    const { url } = await serve((request, response) => sendFile(request, response, wheel));
    const env = { ...emptyEnvironment(temporaryFolder()), CRAFT_LIBTORCH_URL: url };
    addInstalled(env.CRAFT_CACHE, "2.12.0");
    let trials = 0;
    const verify: InstallServices["verify"] = async () =>
      (trials += 1) === 1 ? { ok: false, reason: "no" } : { ok: true, version: "2.12.0", threads: 1 };
    const location = await installLibtorch({ version: "2.12.0", env }, { ...services, verify });
    expect(location.attempts.at(-1)?.outcome).toContain(`installed from ${url}`);
  });

  it("refuses the default version when it is not the file that PyTorch published", async () => {
    const wheel = fakeWheel({ version: "2.13.0+cpu" });
    const { url } = await serve((request, response) => sendFile(request, response, wheel));
    const env = { ...emptyEnvironment(temporaryFolder()), CRAFT_LIBTORCH_URL: url };
    await expect(installLibtorch({ env }, services)).rejects.toThrow(/has the sha256 \w+ instead of \w+/);
    expect(readdirSync(env.CRAFT_CACHE)).toEqual(["downloads"]);
    expect(readdirSync(join(env.CRAFT_CACHE, "downloads"))).toEqual([]);
  });

  it("does not keep a wheel that turned out damaged", async () => {
    const wheel = fakeWheel({ record: (text) => text.replace(/(torch_cpu\S*sha256=)./, "$1-") });
    const { url } = await serve((request, response) => sendFile(request, response, wheel));
    const env = { ...emptyEnvironment(temporaryFolder()), CRAFT_LIBTORCH_URL: url };
    await expect(installLibtorch({ version: "2.12.0", env }, services)).rejects.toThrow(
      /is damaged: its sha256/,
    );
    expect(readdirSync(join(env.CRAFT_CACHE, "downloads"))).toEqual([]);
  });

  it("names what pip and the host answered when neither has it", async () => {
    const { url } = await serve((_request, response) => response.writeHead(404).end());
    const env = { ...emptyEnvironment(temporaryFolder()), CRAFT_LIBTORCH_URL: url };
    const outcome = installLibtorch({ version: "2.12.0", env }, services);
    await expect(outcome).rejects.toThrow(
      /pip: there is no pip on the PATH.*the server answered 404.*--from/s,
    );
  });

  it("takes an address with the hash that it should have", async () => {
    const wheel = fakeWheel({ version: "2.11.0+cpu" });
    const { url } = await serve((request, response) => sendFile(request, response, wheel));
    const env = emptyEnvironment(temporaryFolder());
    const from = `${url}/torch-2.11.0%2Bcpu.whl#sha256=`;
    const wrong = installLibtorch({ from: from + "0".repeat(64), env }, services);
    await expect(wrong).rejects.toThrow(/has the sha256/);
    const location = await installLibtorch({ from: from + sha256(wheel).toString("hex"), env }, services);
    expect(location.version).toBe("2.11.0+cpu");
  });
});
