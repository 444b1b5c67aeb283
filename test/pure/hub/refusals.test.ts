import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { hubSettings, pretrainedFolder, snapshotDownload } from "../../../src/hub/index.js";
import { commit, fakeHub, sha256, temporaryFolder, type FakeHubOptions } from "./fake_hub.js";

const id = "some-org/some.name";
const files = { "config.json": "{}", "model.safetensors": "weights" };
vi.stubEnv("HF_HUB_DISABLE_PROGRESS_BARS", "1");
afterEach(() => {
  vi.unstubAllEnvs();
  vi.stubEnv("HF_HUB_DISABLE_PROGRESS_BARS", "1");
});

describe("a refusal", () => {
  const refused = async (hub: Partial<FakeHubOptions>, name = id, options: object = {}): Promise<string> => {
    const { endpoint } = await fakeHub({ files, ...hub });
    const cacheDir = temporaryFolder();
    const error: unknown = await snapshotDownload(name, {
      endpoint,
      cacheDir,
      token: false,
      ...options,
    }).catch((cause: unknown) => cause);
    expect(readdirSync(cacheDir).filter((entry) => entry.startsWith("models"))).toEqual([]);
    return (error as Error).message.replaceAll(endpoint, "HUB");
  };

  it("of a gated repository tells how to give a token", async () => {
    expect(await refused({ token: "hf_a", gated: true })).toBe(
      "model id = some-org/some.name: access is restricted (said GatedRepo). Accept its conditions at HUB/some-org/some.name, then set HF_TOKEN to an access token of that account, or log in with `hf auth login`.",
    );
    expect(await refused({ token: "hf_a", gated: true }, id, { token: "hf_b" })).toMatch(
      /access is restricted/,
    );
  });

  it("names the repository, and that it may be private", async () => {
    expect(await refused({ token: "hf_a" })).toBe(
      "model id = some-org/some.name: is neither a local path nor a model at HUB that can be seen without a token. Check the id; if it is private or gated, set HF_TOKEN to an access token of that account, or log in with `hf auth login`.",
    );
    expect(await refused({}, "some-org/other", { token: "hf_a" })).toBe(
      "model id = some-org/other: is neither a local path nor a model at HUB. Check the id, and that the token (HF_TOKEN, or the token file) is valid and may read it.",
    );
  });

  it("names the revision", async () => {
    expect(await refused({}, id, { revision: "v9" })).toBe(
      "revision = v9: model some-org/some.name has no branch, tag or commit of this name. See HUB/some-org/some.name/tree/main.",
    );
  });

  it("names the file", async () => {
    const { endpoint } = await fakeHub({ files });
    await expect(
      snapshotDownload(id, { endpoint, cacheDir: temporaryFolder(), files: ["other.json"] }),
    ).rejects.toThrow("file = other.json: model some-org/some.name has none of this name at main.");
  });

  it.each(["../x", "a..b", "a b", "/a", "a/", ".a", "a.lock"])(
    "of the revision %j comes before any question",
    async (revision) => {
      expect(await refused({}, id, { revision })).toMatch(/^revision = .*: can be no name of a branch/);
    },
  );

  it("of an id comes before any question", async () => {
    expect(await refused({}, "../../x")).toMatch(/^model id = \.\.\/\.\.\/x: has more than one slash/);
  });
});

describe("without a network", () => {
  it("says what is missing from the cache and why nobody is asked", async () => {
    const { endpoint, requests } = await fakeHub({ files });
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    const options = { endpoint, cacheDir: temporaryFolder() };
    await expect(snapshotDownload(id, options)).rejects.toThrow(
      /^model some-org\/some\.name, revision main = .*: the repository is not in the cache, and HF_HUB_OFFLINE is set, so that the hub is not asked/,
    );
    vi.stubEnv("HF_HUB_OFFLINE", "0");
    await snapshotDownload(id, { ...options, files: ["config.json"] });
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    requests.length = 0;
    const folder = await snapshotDownload(id, { ...options, files: ["config.json"] });
    expect(readFileSync(join(folder, "config.json"), "utf8")).toBe("{}");
    await expect(snapshotDownload(id, options)).rejects.toThrow(/: model\.safetensors is not in the cache/);
    await expect(snapshotDownload(id, { ...options, revision: "v1.0" })).rejects.toThrow(/revision v1\.0/);
    expect(requests).toEqual([]);
  });

  it("takes what is in the cache when the hub is gone, and says so", async () => {
    const hub = await fakeHub({ files });
    const options = { endpoint: hub.endpoint, cacheDir: temporaryFolder() };
    const folder = await snapshotDownload(id, options);
    hub.stop();
    const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    expect(await snapshotDownload(id, options)).toBe(folder);
    expect(write.mock.calls.map(([text]) => text)).toEqual([
      expect.stringMatching(
        /^note: http:.* cannot be reached \(.*\); model some-org\/some\.name is taken from the cache/,
      ),
    ]);
    write.mockRestore();
    await expect(snapshotDownload("some-org/other", options)).rejects.toThrow(/cannot be reached/);
  });
});

describe("settings", () => {
  it("are those of huggingface_hub's variables", () => {
    const home = temporaryFolder();
    writeFileSync(join(home, "token"), "hf_file\n");
    const env = { HF_HOME: home };
    expect(hubSettings({}, env)).toMatchObject({
      endpoint: "https://huggingface.co",
      cacheDir: join(home, "hub"),
      token: "hf_file",
      offline: false,
      showProgress: true,
    });
    expect(hubSettings({}, { ...env, HF_TOKEN: " hf_env " }).token).toBe("hf_env");
    expect(hubSettings({}, { ...env, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }).token).toBeUndefined();
    expect(hubSettings({ token: false }, { ...env, HF_TOKEN: "hf_env" }).token).toBeUndefined();
    expect(hubSettings({ token: "hf_own" }, { ...env, HF_TOKEN: "hf_env" }).token).toBe("hf_own");
    expect(hubSettings({}, { HF_TOKEN_PATH: join(home, "token") }).token).toBe("hf_file");
    expect(hubSettings({}, { ...env, HF_HUB_CACHE: "/cache" }).cacheDir).toBe("/cache");
    expect(hubSettings({ cacheDir: "/own" }, { ...env, HF_HUB_CACHE: "/cache" }).cacheDir).toBe("/own");
    expect(hubSettings({}, { XDG_CACHE_HOME: "/xdg" }).cacheDir).toBe(join("/xdg", "huggingface", "hub"));
    expect(hubSettings({}, { HF_HOME: "$PLACE/hf", PLACE: "/there" }).cacheDir).toBe(
      join("/there/hf", "hub"),
    );
    expect(hubSettings({}, { HF_ENDPOINT: "https://mirror.example/" }).endpoint).toBe(
      "https://mirror.example",
    );
    expect(hubSettings({}, { HF_HUB_OFFLINE: "yes" }).offline).toBe(true);
    expect(hubSettings({ localFilesOnly: false }, { HF_HUB_OFFLINE: "yes" }).offline).toBe(false);
    expect(hubSettings({}, { HF_HUB_DOWNLOAD_TIMEOUT: "3" }).timeoutMs.bytes).toBe(3000);
    expect(() => hubSettings({}, { HF_ENDPOINT: "mirror" })).toThrow(
      /^HF_ENDPOINT = mirror: is not the address/,
    );
    expect(() => hubSettings({}, { HF_HUB_ETAG_TIMEOUT: "x" })).toThrow(/^HF_HUB_ETAG_TIMEOUT = x/);
  });
});

describe("models, tokenizers and adapters", () => {
  const all = {
    "README.md": "",
    "config.json": "{}",
    "generation_config.json": "{}",
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "vocab.txt": "",
    "pytorch_model.bin": "",
    "model.safetensors": "weights",
    "onnx/model.onnx": "",
  };
  const fetched = async (
    contents: Readonly<Record<string, string>>,
    kind: "model" | "tokenizer" | "adapter",
  ): Promise<string[]> => {
    const { endpoint } = await fakeHub({ files: contents });
    const folder = await pretrainedFolder(id, kind, { endpoint, cacheDir: temporaryFolder() });
    return readdirSync(folder).sort();
  };

  it("get the files that they need, safetensors before others", async () => {
    expect(await fetched(all, "model")).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
    ]);
    expect(await fetched(all, "tokenizer")).toEqual(["tokenizer.json", "tokenizer_config.json"]);
    const adapter = { "adapter_config.json": "{}", "adapter_model.safetensors": "", "optimizer.pt": "" };
    expect(await fetched(adapter, "adapter")).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
  });

  it("get the shards that the index names", async () => {
    const index = JSON.stringify({
      weight_map: { a: "m-1.safetensors", b: "m-2.safetensors", c: "m-1.safetensors" },
    });
    const shards = { "m-1.safetensors": "1", "m-2.safetensors": "2", "other.safetensors": "3" };
    expect(
      await fetched({ "config.json": "{}", "model.safetensors.index.json": index, ...shards }, "model"),
    ).toEqual(["config.json", "m-1.safetensors", "m-2.safetensors", "model.safetensors.index.json"]);
    const evil = JSON.stringify({ weight_map: { a: "../../evil" } });
    await expect(
      fetched({ "config.json": "{}", "model.safetensors.index.json": evil }, "model"),
    ).rejects.toThrow(/^path of a file on the hub = \.\.\/\.\.\/evil/);
  });

  it("are refused where the repository holds no such thing", async () => {
    const name = "^model some-org/some\\.name at main: has ";
    await expect(fetched({ "config.json": "{}", "pytorch_model.bin": "" }, "model")).rejects.toThrow(
      new RegExp(`${name}neither model\\.safetensors nor .*; pytorch_model\\.bin is not read`),
    );
    await expect(fetched({ "adapter_config.json": "{}" }, "model")).rejects.toThrow(
      new RegExp(`${name}no config\\.json; it holds an adapter`),
    );
    await expect(fetched(all, "adapter")).rejects.toThrow(
      new RegExp(`${name}no adapter_config\\.json; it holds a model`),
    );
    await expect(fetched({ "tokenizer.model": "" }, "tokenizer")).rejects.toThrow(
      new RegExp(`${name}no tokenizer\\.json`),
    );
  });

  it("come from a local folder before an id of the same name", async () => {
    const { endpoint, requests } = await fakeHub({ files: all });
    const folder = temporaryFolder();
    mkdirSync(join(folder, "some-org", "some.name"), { recursive: true });
    const local = join(folder, "some-org/some.name");
    expect(await pretrainedFolder(local, "model", { endpoint })).toBe(local);
    expect(requests).toEqual([]);
    await expect(pretrainedFolder(local, "model", { endpoint, revision: "main" })).rejects.toThrow(
      /^revision = main: .* is a local folder, which has no revisions/,
    );
    expect(await pretrainedFolder("./no/such/folder", "model", { endpoint })).toBe("./no/such/folder");
  });
});

it("several processes at once fetch each file once", async () => {
  const weights = Buffer.alloc(300_000, 7);
  const hub = await fakeHub({
    files: { "config.json": "{}", "model.safetensors": weights },
    large: ["model.safetensors"],
    fault: ({ host }, response, content) => {
      if (host !== "cdn") return false;
      // Slow enough for the others to come by.
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 1000));
      setTimeout(() => response.end(content.subarray(1000)), 1500);
      return true;
    },
  });
  const cacheDir = temporaryFolder();
  const child = fileURLToPath(new URL("child.ts", import.meta.url));
  const run = (): Promise<{ stdout: string }> =>
    promisify(execFile)(process.execPath, ["--import", "tsx", child, hub.endpoint, cacheDir, id]);
  const outcomes = await Promise.all([run(), run(), run()]);
  for (const { stdout } of outcomes) {
    expect(stdout.endsWith(commit)).toBe(true);
    expect(sha256(readFileSync(join(stdout, "model.safetensors")))).toBe(sha256(weights));
  }
  expect(hub.asked("cdn")).toEqual(["GET /model.safetensors"]);
});
