import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { requiredLibraries } from "../../../src/torch/library_files.js";
import {
  ensureLibtorch,
  locateLibtorch,
  type LibtorchLocation,
  type LocateOptions,
} from "../../../src/torch/locate.js";
import {
  addInstalled,
  addProgram,
  addTorchPackage,
  emptyEnvironment,
  temporaryFolder,
  write,
} from "./install_fakes.js";

const [c10 = "", torchCpu = ""] = requiredLibraries();

function found(options: LocateOptions): LibtorchLocation {
  const result = locateLibtorch(options);
  if (!("libDir" in result)) throw new Error(`nothing found: ${JSON.stringify(result)}`);
  return result;
}

function refusal(options: LocateOptions): string {
  const result = locateLibtorch(options);
  if ("libDir" in result) throw new Error(`found ${result.libDir}`);
  return result.refusal?.message ?? "not refused";
}

describe("a folder that the user names", () => {
  it("is taken as the package, its lib folder, or the folder above", () => {
    const folder = temporaryFolder();
    const env = emptyEnvironment(folder);
    addTorchPackage(folder, "2.12.0+cpu");
    const libDir = join(folder, "torch", "lib");
    for (const named of [folder, join(folder, "torch"), libDir]) {
      expect(found({ libDir: named, env })).toMatchObject({
        libDir,
        version: "2.12.0+cpu",
        rule: "option",
        device: "cpu",
      });
      expect(found({ env: { ...env, CRAFT_LIBTORCH: named } })).toMatchObject({
        libDir,
        rule: "environment",
      });
    }
  });

  it("comes before every other rule, the option before the variable", () => {
    const folder = temporaryFolder();
    const env = { ...emptyEnvironment(folder), CRAFT_LIBTORCH: addTorchPackage(join(folder, "a"), "2.11.0") };
    addInstalled(env.CRAFT_CACHE, "2.13.0");
    expect(found({ env }).version).toBe("2.11.0");
    expect(found({ env, libDir: addTorchPackage(join(folder, "b"), "2.10.0") }).version).toBe("2.10.0");
  });

  it("is a CUDA build when libtorch_cuda lies in it", () => {
    const folder = temporaryFolder();
    const libDir = join(addTorchPackage(folder, "2.12.0+cu126"), "lib");
    writeFileSync(join(libDir, c10.replace("c10", "torch_cuda")), "x");
    expect(found({ libDir, env: emptyEnvironment(folder) }).device).toBe("cuda");
  });

  it.each<[string, (torch: string) => void, RegExp]>([
    ["is missing", (torch) => rmSync(torch, { recursive: true }), /does not exist/],
    ["is a file", (torch) => (rmSync(torch, { recursive: true }), writeFileSync(torch, "x")), /is a file/],
    ["is empty", (torch) => rmSync(join(torch, "lib"), { recursive: true }), /holds no .*torch_cpu/],
    ["lacks a library", (torch) => rmSync(join(torch, "lib", c10)), /lacks .*c10/],
    ["has an empty library", (torch) => truncateSync(join(torch, "lib", torchCpu)), /torch_cpu\S* is empty/],
    [
      "is too old",
      (torch) => write(join(torch, "version.py"), "__version__ = '2.9.1+cpu'"),
      /2\.9\.1\+cpu is too old/,
    ],
    [
      "is too new",
      (torch) => write(join(torch, "version.py"), "__version__ = '2.14.0'"),
      /2\.14\.0 is unknown/,
    ],
    [
      "is gibberish",
      (torch) => write(join(torch, "version.py"), "__version__ = 'main'"),
      /"main" is not a version/,
    ],
    ["does not tell its version", (torch) => rmSync(join(torch, "version.py")), /its version is not known/],
  ])("and that %s is refused with the reason; no other place is tried", (_name, damage, reason) => {
    const folder = temporaryFolder();
    const env = emptyEnvironment(folder);
    addInstalled(env.CRAFT_CACHE, "2.13.0");
    const torch = addTorchPackage(folder, "2.12.0");
    damage(torch);
    expect(refusal({ libDir: torch, env })).toMatch(reason);
    const message = refusal({ env: { ...env, CRAFT_LIBTORCH: torch } });
    expect(message).toMatch(reason);
    expect(message).toContain(`CRAFT_LIBTORCH = ${torch}`);
    expect(message).toContain("craft install");
  });

  it.runIf(process.platform === "linux")(
    "is refused when an ELF library ends before its table of sections",
    () => {
      const folder = temporaryFolder();
      const torch = addTorchPackage(folder, "2.12.0");
      const header = Buffer.alloc(1000);
      header.write("\x7fELF\x02\x01", "latin1");
      header.writeBigUInt64LE(936n, 40);
      header.writeUInt16LE(64, 58);
      header.writeUInt16LE(1, 60);
      const env = emptyEnvironment(folder);
      writeFileSync(join(torch, "lib", torchCpu), header);
      expect(found({ libDir: torch, env }).version).toBe("2.12.0");
      truncateSync(join(torch, "lib", torchCpu), 999);
      expect(refusal({ libDir: torch, env })).toMatch(
        /torch_cpu\S* is cut short: 999 bytes of at least 1000/,
      );
    },
  );
});

describe("the cache", () => {
  it("gives the newest version that is whole", () => {
    const folder = temporaryFolder();
    const env = emptyEnvironment(folder);
    const cache = env.CRAFT_CACHE;
    addInstalled(cache, "2.10.0");
    addInstalled(cache, "2.12.0");
    expect(found({ env })).toMatchObject({ version: "2.12.0", rule: "cache" });
    const newest = addInstalled(cache, "2.13.0");
    expect(found({ env }).libDir).toBe(join(newest, "torch", "lib"));
    rmSync(join(newest, "torch", "lib", c10));
    const location = found({ env });
    expect(location.version).toBe("2.12.0");
    expect(location.attempts).toContainEqual({
      rule: "cache",
      path: newest,
      outcome: `lacks torch/lib/${c10}`,
    });
  });

  it.each<[string, (folder: string) => void, RegExp]>([
    ["not finished", (folder) => rmSync(join(folder, "libtorch.json")), /installation did not finish/],
    ["damaged", (folder) => write(join(folder, "libtorch.json"), "{"), /libtorch\.json is damaged/],
    [
      "of another shape",
      (folder) => write(join(folder, "libtorch.json"), '{"version": 2}'),
      /libtorch\.json is damaged/,
    ],
    [
      "cut short",
      (folder) => truncateSync(join(folder, "torch", "lib", torchCpu), 5),
      /has 5 bytes instead of/,
    ],
    [
      "too new",
      (folder) => addInstalled(join(folder, ".."), "2.13.0", { version: "2.14.0" }),
      /2\.14\.0 is unknown/,
    ],
    [
      "from elsewhere",
      (folder) => addInstalled(join(folder, ".."), "2.13.0", { arch: "vax" }),
      /was installed for \w+ vax/,
    ],
  ])("never gives an installation that is %s", (_name, damage, outcome) => {
    const folder = temporaryFolder();
    const env = emptyEnvironment(folder);
    damage(addInstalled(env.CRAFT_CACHE, "2.13.0"));
    const result = locateLibtorch({ env });
    expect(result).not.toHaveProperty("libDir");
    expect(result.attempts.find(({ rule }) => rule === "cache")?.outcome).toMatch(outcome);
  });
});

describe.runIf(process.platform !== "win32")("Python's torch", () => {
  it("is found without importing it", () => {
    const folder = temporaryFolder();
    const env = emptyEnvironment(folder);
    const torch = addTorchPackage(folder, "2.12.0+cpu");
    addProgram(env, "python3", `echo '${torch}/__init__.py'`);
    expect(found({ env })).toMatchObject({
      rule: "python",
      version: "2.12.0+cpu",
      libDir: join(torch, "lib"),
    });
    const off = locateLibtorch({ env: { ...env, CRAFT_LIBTORCH_USE_PYTORCH: "0" } });
    expect(off).not.toHaveProperty("libDir");
    expect(off.attempts.at(-1)).toEqual({ rule: "python", outcome: "CRAFT_LIBTORCH_USE_PYTORCH is off" });
  });

  it.each<[string, string | undefined, RegExp]>([
    ["there is no Python", undefined, /there is no python3 on the PATH/],
    ["Python has no torch", "echo", /python3 has no torch/],
    ["Python fails", "echo broken install >&2; exit 3", /python3 failed: broken install/],
  ])("is passed over when %s", (_name, script, outcome) => {
    const env = emptyEnvironment(temporaryFolder());
    if (script !== undefined) addProgram(env, "python3", script);
    expect(locateLibtorch({ env }).attempts.at(-1)?.outcome).toMatch(outcome);
  });

  it("is passed over when its version is not supported", () => {
    const folder = temporaryFolder();
    const env = emptyEnvironment(folder);
    addProgram(env, "python3", `echo '${addTorchPackage(folder, "2.9.0")}/__init__.py'`);
    expect(locateLibtorch({ env }).attempts.at(-1)).toMatchObject({ rule: "python", outcome: /too old/ });
  });
});

it("a switch that is neither on nor off is refused", () => {
  const env = { ...emptyEnvironment(temporaryFolder()), CRAFT_LIBTORCH_USE_PYTORCH: "perhaps" };
  expect(() => locateLibtorch({ env })).toThrow(
    /CRAFT_LIBTORCH_USE_PYTORCH = perhaps: is neither on .* nor off/,
  );
});

describe("ensureLibtorch", () => {
  it("tells of each place that it tried when installing is off", async () => {
    const folder = temporaryFolder();
    const env = { ...emptyEnvironment(folder), CRAFT_LIBTORCH_INSTALL: "0" };
    const broken = addInstalled(env.CRAFT_CACHE, "2.13.0");
    const error = await ensureLibtorch({ env }).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(Error);
    const { message } = error as Error;
    expect(message).toContain("environment: CRAFT_LIBTORCH is not set");
    // A text that calls itself a library: found by its manifest, then refused by the trial.
    expect(message).toContain(`cache: ${broken}: libtorch 2.13.0`);
    expect(message).toMatch(/cache: .*does not work: /);
    expect(message).toContain("python: python3: there is no python3 on the PATH");
    expect(message).toContain("installed: CRAFT_LIBTORCH_INSTALL is off");
    expect(message).toContain("craft install");
  });

  it("refuses a named folder that does not load, and installs nothing", async () => {
    const folder = temporaryFolder();
    const env = { ...emptyEnvironment(folder), CRAFT_LIBTORCH: addTorchPackage(folder, "2.12.0") };
    await expect(ensureLibtorch({ env })).rejects.toThrow(/CRAFT_LIBTORCH = .*: does not work: /);
  });

  it("tells why installing failed too", async () => {
    const env = { ...emptyEnvironment(temporaryFolder()), CRAFT_LIBTORCH_URL: "http://127.0.0.1:1/" };
    const seen: string[] = [];
    const outcome = ensureLibtorch({ env, onProgress: ({ message }) => seen.push(message) });
    await expect(outcome).rejects.toThrow(/installed: .*pip: there is no pip on the PATH.*127\.0\.0\.1:1/s);
    expect(seen.join("\n")).toContain("asking pip for torch==");
  });
});
