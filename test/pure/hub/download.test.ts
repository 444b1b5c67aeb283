import { existsSync, readdirSync, readFileSync, writeFileSync, mkdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { HubOptions } from "../../../src/hub/index.js";
import { parseRepo } from "../../../src/hub/repo_id.js";
import { downloadSnapshot, type SnapshotServices } from "../../../src/hub/snapshot.js";
import { commit, cut, fakeHub, sha256, tagCommit, temporaryFolder, type FakeHubOptions } from "./fake_hub.js";

vi.stubEnv("HF_HUB_DISABLE_PROGRESS_BARS", "1");

const id = "some-org/some.name";
const weights = Buffer.from(Array.from({ length: 200_000 }, (_unused, i) => (i * 7919) % 251));
const plain: FakeHubOptions = {
  files: { "config.json": "{}", "model.safetensors": weights },
  large: ["model.safetensors"],
};
const digest = sha256(weights);

/** Fetches all files from a hub. */
function fetchAll(options: HubOptions, services: SnapshotServices = {}): Promise<string> {
  return downloadSnapshot(parseRepo("model", id), ({ paths }) => paths, options, { pauseMs: 1, ...services });
}

const blobs = (cacheDir: string): string => join(cacheDir, "models--some-org--some.name", "blobs");
const snapshots = (cacheDir: string): string[] => {
  const folder = join(cacheDir, "models--some-org--some.name", "snapshots");
  return existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }).sort() : [];
};
/** Nothing that was not whole may have a name of its own. */
function expectNoWeights(cacheDir: string): void {
  expect(existsSync(join(blobs(cacheDir), digest))).toBe(false);
  expect(snapshots(cacheDir).filter((path) => path.endsWith("model.safetensors"))).toEqual([]);
}

describe("fetching", () => {
  it("takes large files from the host that the hub names, and does not show it the token", async () => {
    const hub = await fakeHub({ ...plain, token: "hf_secret" });
    const cacheDir = temporaryFolder();
    const folder = await fetchAll({ endpoint: hub.endpoint, cacheDir, token: "hf_secret" });
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(hub.asked("cdn")).toEqual(["GET /model.safetensors"]);
    for (const { host, token } of hub.requests)
      expect(token).toBe(host === "hub" ? "Bearer hf_secret" : undefined);
    expect(readdirSync(blobs(cacheDir)).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  });

  it("asks for the commit only when all is there, and for nothing when the commit is named", async () => {
    const hub = await fakeHub(plain);
    const options = { endpoint: hub.endpoint, cacheDir: temporaryFolder() };
    await fetchAll(options);
    hub.requests.length = 0;
    await fetchAll(options);
    expect(hub.requests.map(({ path }) => path)).toEqual([`/api/models/${id}/revision/main`]);
    await fetchAll({ ...options, revision: commit });
    expect(hub.requests).toHaveLength(1);
  });

  it("keeps revisions apart and content once", async () => {
    const hub = await fakeHub(plain);
    const options = { endpoint: hub.endpoint, cacheDir: temporaryFolder() };
    expect((await fetchAll(options)).endsWith(join("snapshots", commit))).toBe(true);
    hub.requests.length = 0;
    const tagged = await fetchAll({ ...options, revision: "v1.0" });
    expect(tagged.endsWith(join("snapshots", tagCommit))).toBe(true);
    expect(hub.asked("cdn")).toEqual([]);
    const refs = join(options.cacheDir, "models--some-org--some.name", "refs");
    expect(readFileSync(join(refs, "v1.0"), "utf8")).toBe(tagCommit);
    expect(readdirSync(blobs(options.cacheDir))).toHaveLength(2);
  });

  it("takes a cut connection up where it broke", async () => {
    const stops = [60_000, 130_000];
    const hub = await fakeHub({
      ...plain,
      fault: ({ host, range }, response, content) => {
        const to = host === "cdn" ? stops.shift() : undefined;
        return to !== undefined && cut(response, content, Number(/\d+/.exec(range ?? "0")![0]), to);
      },
    });
    const folder = await fetchAll({ endpoint: hub.endpoint, cacheDir: temporaryFolder() });
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    const ranges = hub.requests.filter(({ host }) => host === "cdn").map(({ range }) => range);
    expect(ranges).toEqual([undefined, "bytes=60000-", "bytes=130000-"]);
  });

  it("goes on from what an earlier run left, also after it gave up", async () => {
    let broken = true;
    const hub = await fakeHub({
      ...plain,
      fault: ({ host, range }, response, content) => {
        if (host !== "cdn" || !broken) return false;
        if (range === undefined) return cut(response, content, 0, 50_000);
        response.destroy();
        return true;
      },
    });
    const options = { endpoint: hub.endpoint, cacheDir: temporaryFolder() };
    await expect(fetchAll(options)).rejects.toThrow(
      /^model some-org\/some\.name, file model\.safetensors: fetching it failed 4 times in a row: .*what has arrived is kept/,
    );
    expectNoWeights(options.cacheDir);
    expect(readFileSync(join(blobs(options.cacheDir), `${digest}.incomplete`)).length).toBe(50_000);
    broken = false;
    hub.requests.length = 0;
    const folder = await fetchAll(options);
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(hub.requests.filter(({ host }) => host === "cdn").map(({ range }) => range)).toEqual([
      "bytes=50000-",
    ]);
  });

  it("begins anew when what was left belongs to another file", async () => {
    const hub = await fakeHub(plain);
    const options = { endpoint: hub.endpoint, cacheDir: temporaryFolder() };
    mkdirSync(blobs(options.cacheDir), { recursive: true });
    writeFileSync(join(blobs(options.cacheDir), `${digest}.incomplete`), Buffer.alloc(1000, 9));
    const folder = await fetchAll(options);
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
  });
});

describe("what a hub may do wrong", () => {
  const fetchFrom = async (
    hub: Partial<FakeHubOptions>,
  ): Promise<{ cacheDir: string; outcome: Promise<string> }> => {
    const { endpoint } = await fakeHub({ ...plain, ...hub });
    const cacheDir = temporaryFolder();
    return { cacheDir, outcome: fetchAll({ endpoint, cacheDir, token: false }) };
  };

  it("sends other bytes than it announced", async () => {
    const { cacheDir, outcome } = await fetchFrom({
      fault: ({ host }, response, content) => {
        if (host !== "cdn") return false;
        response.writeHead(200, { "content-length": content.length }).end(Buffer.alloc(content.length, 1));
        return true;
      },
    });
    await expect(outcome).rejects.toThrow(
      new RegExp(`what arrived has the sha256 [0-9a-f]{64} instead of ${digest}, and was removed`),
    );
    expectNoWeights(cacheDir);
    expect(existsSync(join(blobs(cacheDir), `${digest}.incomplete`))).toBe(false);
  });

  it("sends other bytes of a small file", async () => {
    const { outcome } = await fetchFrom({
      fault: ({ method, path }, response) => {
        if (method !== "GET" || !path.endsWith("config.json")) return false;
        response.writeHead(200, { "content-length": 2 }).end("[]");
        return true;
      },
    });
    await expect(outcome).rejects.toThrow(/file config\.json = .*has the Git hash/);
  });

  it.each([
    ["more", Buffer.concat([weights, weights])],
    ["fewer", weights.subarray(0, 1000)],
  ])("sends %s bytes than it announced", async (_name, body) => {
    const { cacheDir, outcome } = await fetchFrom({
      fault: ({ host }, response) => {
        if (host !== "cdn") return false;
        response.writeHead(200, { "content-length": body.length }).end(body);
        return true;
      },
    });
    await expect(outcome).rejects.toThrow(
      new RegExp(`4 times in a row: the server sends ${body.length} bytes instead of 200000`),
    );
    expectNoWeights(cacheDir);
  });

  it("sends more bytes than it announced, without saying so", async () => {
    const { cacheDir, outcome } = await fetchFrom({
      fault: ({ host }, response) => {
        if (host !== "cdn") return false;
        response.writeHead(200, { "transfer-encoding": "chunked" });
        response.write(Buffer.alloc(weights.length, 1));
        response.end(weights);
        return true;
      },
    });
    await expect(outcome).rejects.toThrow(/has the sha256|more than 200000 bytes/);
    expectNoWeights(cacheDir);
  });

  it("lists another size than it tells of the file", async () => {
    const { cacheDir, outcome } = await fetchFrom({
      list: (entry) =>
        entry["lfs"] === undefined
          ? entry
          : { ...entry, size: 10, lfs: { oid: digest, size: 10, pointerSize: 130 } },
    });
    await expect(outcome).rejects.toThrow(/the hub says that it has 200000 bytes, and its listing says 10/);
    expectNoWeights(cacheDir);
  });

  it("lists a file that cannot be had over HTTP", async () => {
    const { outcome } = await fetchFrom({ list: (entry) => ({ ...entry, size: 60e9, lfs: undefined }) });
    await expect(outcome).rejects.toThrow(
      /= 60\.0 GB: is larger than the hub gives over HTTP.*hf download some-org/,
    );
  });

  it.each(["../../evil", "/etc/evil", "a/../../evil", "C:/evil", "..\\evil"])(
    "lists a path that leads elsewhere: %s",
    async (path) => {
      const { cacheDir, outcome } = await fetchFrom({
        list: (entry) => (entry["path"] === "config.json" ? { ...entry, path } : entry),
      });
      await expect(outcome).rejects.toThrow(/leads out of the repository's folder/);
      expect(readdirSync(cacheDir)).toEqual([]);
    },
  );

  it.each([
    ["a commit that is none", { sha: "../../evil" }, /does not tell the commit/],
    ["no commit", {}, /does not tell the commit/],
  ])("answers with %s", async (_name, body, message) => {
    const { cacheDir, outcome } = await fetchFrom({
      fault: ({ path }, response) => {
        if (!path.includes("/revision/")) return false;
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ id, ...body }));
        return true;
      },
    });
    await expect(outcome).rejects.toThrow(message);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  it("answers for another commit than it was asked for", async () => {
    const { cacheDir, outcome } = await fetchFrom({
      fault: ({ method, path }, response) => {
        if (method !== "HEAD" || !path.endsWith("model.safetensors")) return false;
        response.writeHead(200, { "x-repo-commit": tagCommit, etag: `"${digest}"` }).end();
        return true;
      },
    });
    await expect(outcome).rejects.toThrow(`answers for commit ${tagCommit} instead of ${commit}`);
    expectNoWeights(cacheDir);
  });

  it("sends questions, with the token, to another host", async () => {
    const other = await fakeHub(plain);
    const { endpoint } = await fakeHub({
      ...plain,
      token: "hf_secret",
      fault: ({ path }, response) => {
        if (!path.includes("/revision/")) return false;
        response.writeHead(302, { location: `${other.endpoint}/api/models/${id}/revision/main` }).end();
        return true;
      },
    });
    await expect(fetchAll({ endpoint, cacheDir: temporaryFolder(), token: "hf_secret" })).rejects.toThrow(
      /sends questions about itself to another host/,
    );
    expect(other.requests).toEqual([]);
  });
});

describe("the disk", () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
    code: "ENOSPC",
    errno: -28,
    syscall: "write",
  });

  it("that becomes full is told of, leaves nothing half-written, and the rest is fetched later", async () => {
    const hub = await fakeHub(plain);
    const options = { endpoint: hub.endpoint, cacheDir: temporaryFolder() };
    const openFile: SnapshotServices["openFile"] = async (path, flags) => {
      const file = await open(path, flags);
      let room = 70_000;
      return {
        writeFile: async (chunk) => {
          await file.writeFile(chunk.subarray(0, room));
          room -= chunk.length;
          if (room < 0) throw full;
        },
        sync: () => file.sync(),
        close: () => file.close(),
      };
    };
    await expect(fetchAll(options, { openFile })).rejects.toThrow(
      /^cache of the hub = .*: the disk became full while model some-org\/some\.name, file model\.safetensors was fetched\. Free some space, or set HF_HUB_CACHE/,
    );
    expectNoWeights(options.cacheDir);
    hub.requests.length = 0;
    const folder = await fetchAll(options);
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(hub.requests.find(({ host }) => host === "cdn")?.range).toBe("bytes=70000-");
  });

  it("that cannot be written to is told of", async () => {
    const { endpoint } = await fakeHub(plain);
    const cacheDir = join(temporaryFolder(), "file");
    writeFileSync(cacheDir, "not a folder");
    await expect(fetchAll({ endpoint, cacheDir })).rejects.toThrow(/^cache of the hub = .*cannot be written/);
  });
});
