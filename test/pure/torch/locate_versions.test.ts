import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cacheDirectory } from "../../../src/torch/cache_dir.js";
import { isWantedEntry } from "../../../src/torch/library_files.js";
import { newestFirst, readVersion, versionOfAbi, versionProblem } from "../../../src/torch/versions.js";
import { fitsPlatform, wheelTarget } from "../../../src/torch/wheel_names.js";
import { temporaryFolder, write } from "./install_fakes.js";

describe("versions", () => {
  it.each(["2.10.0", "2.11.1", "2.12.0+cu126", "2.13.0+cpu", "2.13", "2.10.0a0+gitabc", "2.13.0.post1"])(
    "accepts %s",
    (version) => expect(versionProblem(version)).toBeUndefined(),
  );

  it.each([
    ["2.9.1", /too old/],
    ["1.13.1", /too old/],
    ["2.14.0", /unknown: this package was tried with 2\.10 to 2\.13/],
    ["3.0.0", /unknown/],
    ["nonsense", /not a version number/],
    ["", /not a version number/],
    ["2.13.0; rm", /not a version number/],
  ])("refuses %s with the reason", (version, reason) => expect(versionProblem(version)).toMatch(reason));

  it("orders them by number, not by text", () => {
    expect(["2.9.0", "2.13.0", "x", "2.10.0", "2.13.1"].sort(newestFirst)).toEqual([
      "2.13.1",
      "2.13.0",
      "2.10.0",
      "2.9.0",
      "x",
    ]);
  });

  it("reads what a library tells of itself", () => {
    // TORCH_ABI_VERSION of the 2.13.0 header: (2 << 56) | (13 << 48) | (0 << 40).
    expect(versionOfAbi(147774362773094400n)).toBe("2.13.0");
    expect(versionOfAbi((2n << 56n) | (10n << 48n) | (1n << 40n))).toBe("2.10.1");
  });

  it("reads the version of a Python package, of the C++ distribution and of a Python environment", () => {
    const folder = temporaryFolder();
    write(join(folder, "a/torch/version.py"), "__all__ = ['__version__']\n__version__ = '2.11.0+cpu'\n");
    write(join(folder, "b/libtorch/build-version"), "2.12.0+cpu\n");
    write(
      join(folder, "c/torch-2.10.0.dist-info/METADATA"),
      "Metadata-Version: 2.4\nName: torch\nVersion: 2.10.0\n",
    );
    write(join(folder, "d/torch-2.10.0.dist-info/METADATA"), "Version: 2.10.0\n");
    write(join(folder, "d/torch-2.11.0.dist-info/METADATA"), "Version: 2.11.0\n");
    expect(readVersion(join(folder, "a/torch/lib"))).toBe("2.11.0+cpu");
    expect(readVersion(join(folder, "b/libtorch/lib"))).toBe("2.12.0+cpu");
    expect(readVersion(join(folder, "c/torch/lib"))).toBe("2.10.0");
    expect(readVersion(join(folder, "d/torch/lib"))).toBeUndefined();
    expect(readVersion(join(folder, "e/torch/lib"))).toBeUndefined();
  });
});

describe("the cache folder", () => {
  it.each<[NodeJS.ProcessEnv, NodeJS.Platform, string]>([
    [{ CRAFT_CACHE: "/own" }, "linux", "/own"],
    [{ XDG_CACHE_HOME: "/xdg" }, "linux", "/xdg/contrastive-ft"],
    [{ XDG_CACHE_HOME: "/xdg" }, "darwin", "/xdg/contrastive-ft"],
    [{ XDG_CACHE_HOME: "relative" }, "linux", "/home/me/.cache/contrastive-ft"],
    [{}, "linux", "/home/me/.cache/contrastive-ft"],
    [{}, "darwin", "/home/me/Library/Caches/contrastive-ft"],
    [{ LOCALAPPDATA: "C:\\Local" }, "win32", "C:\\Local\\contrastive-ft"],
    [{ CRAFT_CACHE: "D:\\own" }, "win32", "D:\\own"],
  ])("for %o on %s is %s", (env, platform, expected) => {
    expect(cacheDirectory(env, platform, "/home/me")).toBe(expected);
  });

  it("may not be relative", () => {
    expect(() => cacheDirectory({ CRAFT_CACHE: "here" }, "linux")).toThrow(
      /CRAFT_CACHE = here: is a relative path/,
    );
  });
});

describe("wheels", () => {
  it.each<[string, NodeJS.Platform, string, string, string]>([
    ["2.13.0", "linux", "x64", "torch==2.13.0+cpu", "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"],
    [
      "2.12.0",
      "linux",
      "arm64",
      "torch==2.12.0+cpu",
      "torch-2.12.0+cpu-cp311-cp311-manylinux_2_28_aarch64.whl",
    ],
    ["2.13.0", "win32", "x64", "torch==2.13.0+cpu", "torch-2.13.0+cpu-cp311-cp311-win_amd64.whl"],
    ["2.13.0", "darwin", "arm64", "torch==2.13.0", "torch-2.13.0-cp311-cp311-macosx_14_0_arm64.whl"],
    ["2.11.0", "darwin", "arm64", "torch==2.11.0", "torch-2.11.0-cp311-cp311-macosx_11_0_arm64.whl"],
    ["2.10.0", "darwin", "arm64", "torch==2.10.0", "torch-2.10.0-cp311-none-macosx_11_0_arm64.whl"],
  ])("of %s for %s %s", (version, platform, arch, requirement, fileName) => {
    expect(wheelTarget(version, platform, arch)).toMatchObject({ requirement, fileName });
  });

  it("have a known hash for the default version on every platform", () => {
    const platforms = ["linux x64", "linux arm64", "win32 x64", "win32 arm64", "darwin arm64"];
    const hashes = platforms.map((name) => {
      const [platform, arch] = name.split(" ") as [NodeJS.Platform, string];
      return wheelTarget("2.13.0", platform, arch).sha256;
    });
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(hashes).size).toBe(platforms.length);
  });

  it("are refused by name where there is none", () => {
    expect(() => wheelTarget("2.13.0", "darwin", "x64")).toThrow(
      /platform = darwin x64: PyTorch publishes no CPU build/,
    );
    expect(() => wheelTarget("2.13.0", "linux", "ppc64")).toThrow(/CRAFT_LIBTORCH/);
  });

  it("fit a platform by their tag", () => {
    expect(fitsPlatform(["cp311-cp311-manylinux_2_28_x86_64"], "linux", "x64")).toBe(true);
    expect(fitsPlatform(["cp311-cp311-manylinux_2_28_x86_64"], "linux", "arm64")).toBe(false);
    expect(fitsPlatform(["cp311-cp311-win_amd64"], "linux", "x64")).toBe(false);
    expect(fitsPlatform(["cp311-none-macosx_11_0_arm64"], "darwin", "arm64")).toBe(true);
    expect(fitsPlatform([], "linux", "x64")).toBe(false);
  });

  it.each<[string, NodeJS.Platform, boolean]>([
    ["torch/lib/libtorch_cpu.so", "linux", true],
    ["torch/lib/libc10.so", "linux", true],
    ["torch/lib/libgomp.so.1", "linux", true],
    ["torch.libs/libopenblas-1a2b.so.0", "linux", true],
    ["torch/lib/libtorch_python.so", "linux", false],
    ["torch/lib/libtorch.so", "linux", false],
    ["torch/lib/libshm.so", "linux", false],
    ["torch/lib/libbackend_with_compiler.so", "linux", false],
    ["torch/_C.cpython-311-x86_64-linux-gnu.so", "linux", false],
    ["torch/lib/../../x.so", "linux", false],
    ["torch/lib/libtorch_cpu.dylib", "darwin", true],
    ["torch/lib/libomp.dylib", "darwin", true],
    ["torch/lib/torch_cpu.dll", "win32", true],
    ["torch/lib/libiomp5md.dll", "win32", true],
    ["torch/lib/torch_python.dll", "win32", false],
    ["torch/lib/torch_cpu.lib", "win32", false],
  ])("hold %s, on %s wanted: %s", (entry, platform, wanted) =>
    expect(isWantedEntry(entry, platform)).toBe(wanted),
  );
});
