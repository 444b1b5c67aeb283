import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { installLibtorch, type InstallOptions, type InstallServices } from "../../../src/torch/install.js";
import { requiredLibraries } from "../../../src/torch/library_files.js";
import { locateLibtorch } from "../../../src/torch/locate.js";
import { wasVerified } from "../../../src/torch/verified.js";
import {
  addInstalled,
  addTorchPackage,
  emptyEnvironment,
  fakeWheel,
  temporaryFolder,
  type FakeWheel,
} from "./install_fakes.js";

const [, torchCpu = ""] = requiredLibraries();

const services: InstallServices = {
  verify: async () => ({ ok: true, version: "2.12.0", threads: 1 }),
  freeBytes: async () => 1e12,
};

interface Setting {
  readonly cache: string;
  readonly wheel: string;
  readonly install: (
    options?: InstallOptions,
    changed?: Partial<InstallServices>,
  ) => ReturnType<typeof installLibtorch>;
}

function setting(wheelOptions: FakeWheel = {}): Setting {
  const folder = temporaryFolder();
  const env = emptyEnvironment(folder);
  const wheel = join(folder, "given.whl");
  writeFileSync(wheel, fakeWheel(wheelOptions));
  const install: Setting["install"] = (options = {}, changed = {}) =>
    installLibtorch({ env, from: wheel, ...options }, { ...services, ...changed });
  return { cache: env.CRAFT_CACHE, wheel, install };
}

/** What lies in a cache, apart from the notes on verified libraries. */
const contents = (cache: string): string[] =>
  existsSync(cache) ? readdirSync(cache).filter((name) => name !== "verified") : [];

describe("installing from a wheel", () => {
  it("puts the libraries and a manifest into the cache, where they are found", async () => {
    const { cache, wheel, install } = setting();
    const stages: string[] = [];
    const location = await install({ onProgress: ({ stage }) => stages.push(stage) });
    const libDir = join(cache, "libtorch-2.12.0-cpu", "torch", "lib");
    expect(location).toMatchObject({ libDir, version: "2.12.0+cpu", rule: "installed", device: "cpu" });
    expect(contents(cache)).toEqual(["libtorch-2.12.0-cpu"]);
    expect(readdirSync(libDir).sort()).toEqual([...requiredLibraries()].sort());
    const manifest: unknown = JSON.parse(
      readFileSync(join(cache, "libtorch-2.12.0-cpu", "libtorch.json"), "utf8"),
    );
    expect(manifest).toMatchObject({ version: "2.12.0+cpu", source: wheel, platform: process.platform });
    expect(locateLibtorch({ env: { CRAFT_CACHE: cache } })).toMatchObject({ libDir, rule: "cache" });
    expect(wasVerified(libDir, cache)).toBe(true);
    expect([...new Set(stages)]).toEqual(["unpack", "verify"]);
  });

  it("replaces what is there when a source is named, and keeps a working installation otherwise", async () => {
    const { cache, install } = setting();
    const old = addInstalled(cache, "2.12.0");
    await install();
    expect(readFileSync(join(old, "torch", "lib", torchCpu), "utf8")).toContain("\n");

    const kept = addInstalled(cache, "2.13.0");
    const location = await installLibtorch({ env: emptyEnvironment(join(cache, "..")) }, services);
    expect(location.libDir).toBe(join(kept, "torch", "lib"));
    expect(location.attempts.at(-1)?.outcome).toContain("was there already");
  });

  it("takes a folder as well, so that the copy outlives it", async () => {
    const { cache, install } = setting();
    const source = addTorchPackage(join(cache, "..", "python"), "2.11.0+cpu");
    writeFileSync(join(source, "lib", "libtorch_python.so"), "not wanted");
    const location = await install({ from: source });
    rmSync(source, { recursive: true });
    expect(location).toMatchObject({
      version: "2.11.0+cpu",
      libDir: join(cache, "libtorch-2.11.0-cpu", "torch", "lib"),
    });
    expect(readdirSync(location.libDir).sort()).toEqual([...requiredLibraries()].sort());
  });
});

describe("a failed installation leaves nothing behind", () => {
  it.each<[string, FakeWheel, InstallOptions, Partial<InstallServices>, RegExp]>([
    ["version 2.9", { version: "2.9.0+cpu" }, {}, {}, /2\.9\.0\+cpu is too old/],
    ["version 2.14", { version: "2.14.0+cpu" }, {}, {}, /2\.14\.0\+cpu is unknown/],
    ["gibberish for a version", { version: "oops" }, {}, {}, /"oops" is not a version number/],
    [
      "another version than asked for",
      {},
      { version: "2.13.0" },
      {},
      /version = 2\.13\.0: .* holds 2\.12\.0\+cpu/,
    ],
    [
      "another platform",
      { tag: "cp311-cp311-linux_s390x" },
      {},
      {},
      /is built for cp311-cp311-linux_s390x, not for/,
    ],
    ["a CUDA build", { entries: { "torch/lib/libtorch_cuda.so": "x" } }, {}, {}, /is a CUDA build/],
    [
      "a wrong hash",
      { record: (text) => text.replace(/(torch_cpu\S*sha256=)./, "$1-") },
      {},
      {},
      /is damaged: its sha256/,
    ],
    [
      "a crash in the trial",
      {},
      {},
      { verify: async () => ({ ok: false, reason: "it crashed" }) },
      /does not work on this machine: it crashed/,
    ],
    [
      "too small a disk",
      {},
      {},
      { freeBytes: async () => 100 },
      /has 1 MB free, and installing libtorch wants 1 MB/,
    ],
  ])("with %s", async (_name, wheel, options, changed, reason) => {
    const { cache, install } = setting(wheel);
    await expect(install(options, changed)).rejects.toThrow(reason);
    expect(contents(cache)).toEqual([]);
  });

  it("and what worked before is still there", async () => {
    const { cache, install } = setting();
    await install();
    const failing = install({}, { verify: async () => ({ ok: false, reason: "no" }) });
    await expect(failing).rejects.toThrow(/Nothing was installed/);
    expect(contents(cache)).toEqual(["libtorch-2.12.0-cpu"]);
    expect(locateLibtorch({ env: { CRAFT_CACHE: cache } })).toMatchObject({ version: "2.12.0+cpu" });
  });
});

describe("options are refused with the reason", () => {
  it.each<[InstallOptions, RegExp]>([
    [{ version: "2.9.0" }, /version = 2\.9\.0: .*too old/],
    [{ version: "2.14.0" }, /version = 2\.14\.0: .*unknown/],
    [{ version: "latest" }, /version = latest: .*not a version of three numbers/],
    [{ version: "2.13" }, /not a version of three numbers/],
    [{ device: "cuda" }, /device = cuda: only cpu can be installed/],
    [{ from: "/no/such/file.whl" }, /source of libtorch = \/no\/such\/file\.whl: does not exist/],
    [{ cacheDir: "/dev/null/cache" }, /cache folder = \/dev\/null\/cache: cannot be written/],
  ])("%o", async (options, reason) => {
    const { install } = setting();
    await expect(install(options)).rejects.toThrow(reason);
  });

  it("a full disk is named before anything is fetched", async () => {
    const env = emptyEnvironment(temporaryFolder());
    const outcome = installLibtorch({ env }, { ...services, freeBytes: async () => 2e8 });
    await expect(outcome).rejects.toThrow(/has 200 MB free, and installing libtorch wants 650 MB/);
  });
});

describe("an interrupted installation", () => {
  it("is cleaned up by the next one", async () => {
    const { cache, install } = setting();
    // No process has a number this high (Linux stops at 2^22).
    const dead = `.staging-${hostname()}-99999999-abc`;
    const alive = `.staging-${hostname()}-${process.ppid}-abc`;
    const elsewhere = ".staging-elsewhere-1-abc";
    const elsewhereOld = ".staging-elsewhere-2-abc";
    for (const name of [dead, alive, elsewhere, elsewhereOld])
      mkdirSync(join(cache, name), { recursive: true });
    utimesSync(join(cache, elsewhereOld), new Date(0), new Date(0));
    writeFileSync(join(cache, "install.lock"), JSON.stringify({ host: hostname(), pid: 99999999 }));
    await install();
    expect(contents(cache).sort()).toEqual([alive, elsewhere, "libtorch-2.12.0-cpu"].sort());
  });

  it.each<[string, (folder: string) => void]>([
    ["without a manifest", (folder) => rmSync(join(folder, "libtorch.json"))],
    ["with a library cut short", (folder) => truncateSync(join(folder, "torch", "lib", torchCpu), 3)],
    ["without a library", (folder) => rmSync(join(folder, "torch", "lib", torchCpu))],
  ])("that left a folder %s is replaced", async (_name, damage) => {
    const { cache, install } = setting();
    await install();
    damage(join(cache, "libtorch-2.12.0-cpu"));
    expect(locateLibtorch({ env: { CRAFT_CACHE: cache, PATH: "" } })).not.toHaveProperty("libDir");
    await install();
    expect(locateLibtorch({ env: { CRAFT_CACHE: cache } })).toMatchObject({ version: "2.12.0+cpu" });
    expect(contents(cache)).toEqual(["libtorch-2.12.0-cpu"]);
  });

  it("that is still running elsewhere is waited for", async () => {
    const { cache, install } = setting();
    mkdirSync(cache, { recursive: true });
    const lock = join(cache, "install.lock");
    writeFileSync(lock, JSON.stringify({ host: "elsewhere", pid: 1 }));
    const stages: string[] = [];
    const installing = install({ onProgress: ({ stage }) => stages.push(stage) });
    await expect.poll(() => stages).toEqual(["wait"]);
    rmSync(lock);
    await installing;
    expect(stages).toContain("unpack");
  });
});

it("several installations at once all end well, and the work is done one after the other", async () => {
  const { cache, install } = setting();
  let running = 0;
  let most = 0;
  const verify: InstallServices["verify"] = async () => {
    most = Math.max(most, (running += 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    running -= 1;
    return { ok: true, version: "2.12.0", threads: 1 };
  };
  const locations = await Promise.all([
    install({}, { verify }),
    install({}, { verify }),
    install({}, { verify }),
  ]);
  expect(new Set(locations.map(({ libDir }) => libDir)).size).toBe(1);
  expect(most).toBe(1);
  expect(contents(cache)).toEqual(["libtorch-2.12.0-cpu"]);
});
