import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { run, toReport, toText } from "../../../src/cli/doctor.js";
import { diagnose, type Diagnosis } from "../../../src/torch/diagnose.js";
import { addInstalled, addTorchPackage, emptyEnvironment, temporaryFolder } from "./install_fakes.js";

const healthy: Diagnosis = {
  location: {
    libDir: "/cache/libtorch-2.13.0-cpu/torch/lib",
    version: "2.13.0+cpu",
    rule: "cache",
    attempts: [],
    device: "cpu",
  },
  attempts: [
    { rule: "environment", outcome: "CRAFT_LIBTORCH is not set" },
    { rule: "cache", path: "/cache/libtorch-2.13.0-cpu", outcome: "libtorch 2.13.0+cpu" },
  ],
  environment: {
    processor: { model: "A CPU", features: ["avx2", "avx512_bf16"] },
    compute: { dtype: "bfloat16", reason: "the processor has avx512_bf16" },
    threads: 8,
    memory: { free_bytes: 2e9, total_bytes: 16e9 },
    node: "v20.19.0",
    platform: "linux x64",
    glibc: "2.36",
  },
  disk: { path: "/cache", free_bytes: 5e10 },
  variables: { CRAFT_CACHE: "/cache" },
  problems: [],
};

describe("the report", () => {
  it("as JSON holds what scripts ask for", () => {
    expect(toReport(healthy)).toEqual({
      ok: true,
      version: "2.13.0+cpu",
      path: "/cache/libtorch-2.13.0-cpu/torch/lib",
      rule: "cache",
      device: "cpu",
      attempts: healthy.attempts,
      threads: 8,
      processor: { model: "A CPU", features: ["avx2", "avx512_bf16"] },
      dtype: "bfloat16",
      dtype_reason: "the processor has avx512_bf16",
      disk: { path: "/cache", free_bytes: 5e10 },
      memory: { free_bytes: 2e9, total_bytes: 16e9 },
      node: "v20.19.0",
      platform: "linux x64",
      glibc: "2.36",
      variables: { CRAFT_CACHE: "/cache" },
      problems: [],
    });
  });

  it("as text reads", () => {
    expect(toText(healthy)).toMatchInlineSnapshot(`
      "libtorch   2.13.0+cpu, cpu build
      path       /cache/libtorch-2.13.0-cpu/torch/lib
      rule       cache
      tried      environment: CRAFT_LIBTORCH is not set
                 cache: /cache/libtorch-2.13.0-cpu: libtorch 2.13.0+cpu
      threads    8
      processor  A CPU
      features   avx2 avx512_bf16
      dtype      bfloat16: the processor has avx512_bf16
      memory     2.0 GB free of 16.0 GB
      disk       50.0 GB free at /cache
      system     linux x64, node v20.19.0, glibc 2.36
      set        CRAFT_CACHE=/cache

      All is well.
      "
    `);
  });

  it("as text lists what is wrong", () => {
    const { location: _location, ...rest } = healthy;
    const text = toText({ ...rest, location: undefined, problems: ["one.", "two."] });
    expect(text).toMatch(/^libtorch +none that works\ntried/);
    expect(text).toMatch(/Problems:\n {2}- one\.\n {2}- two\.\n$/);
  });
});

describe("diagnose", () => {
  it("finds that there is none, and installs nothing", async () => {
    const folder = temporaryFolder();
    const env = emptyEnvironment(folder);
    const { location, attempts, problems, disk } = await diagnose(env);
    expect(location).toBeUndefined();
    expect(attempts.map(({ rule }) => rule)).toEqual(["environment", "cache", "python"]);
    expect(problems[0]).toContain("craft install");
    expect(disk.path).toBe(env.CRAFT_CACHE);
    expect(existsSync(env.CRAFT_CACHE)).toBe(false);
  });

  it("shows no password of a mirror", async () => {
    const env = {
      ...emptyEnvironment(temporaryFolder()),
      CRAFT_LIBTORCH_URL: "https://me:secret@mirror/whl",
    };
    expect((await diagnose(env)).variables).toMatchObject({ CRAFT_LIBTORCH_URL: "https://***@mirror/whl" });
  });

  it("tries what it finds, and tells why it does not work", async () => {
    const env = emptyEnvironment(temporaryFolder());
    addInstalled(env.CRAFT_CACHE, "2.13.0");
    const { location, attempts } = await diagnose(env);
    expect(location).toBeUndefined();
    expect(attempts.filter(({ rule }) => rule === "cache").map(({ outcome }) => outcome)).toEqual([
      "libtorch 2.13.0",
      expect.stringMatching(/^does not work: /),
    ]);
  });

  it.each([
    [
      "a named folder of an old version",
      (folder: string) => ({ CRAFT_LIBTORCH: addTorchPackage(folder, "2.9.0") }),
      /too old/,
    ],
    [
      "a named folder that does not load",
      (folder: string) => ({ CRAFT_LIBTORCH: addTorchPackage(folder, "2.12.0") }),
      /does not work/,
    ],
    ["a switch that cannot be understood", () => ({ CRAFT_LIBTORCH_USE_PYTORCH: "perhaps" }), /perhaps/],
    ["a cache that is relative", () => ({ CRAFT_CACHE: "here" }), /relative/],
  ])("reports %s as the problem", async (_name, variables, problem) => {
    const folder = temporaryFolder();
    const diagnosis = await diagnose({ ...emptyEnvironment(folder), ...variables(folder) });
    expect(diagnosis.problems).toHaveLength(1);
    expect(diagnosis.problems[0]).toMatch(problem);
    expect(diagnosis.variables).toMatchObject(variables(folder));
  });
});

describe("craft doctor", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  it("prints one JSON object and ends with 1 when there is a problem", async () => {
    const folder = temporaryFolder();
    vi.stubEnv("CRAFT_LIBTORCH", join(folder, "nowhere"));
    vi.stubEnv("CRAFT_CACHE", join(folder, "cache"));
    const printed: string[] = [];
    vi.spyOn(process.stdout, "write").mockImplementation((text) => printed.push(String(text)) > 0);
    expect(await run({ json: true })).toBe(1);
    expect(printed).toHaveLength(1);
    const report: unknown = JSON.parse(printed.join(""));
    expect(report).toMatchObject({ ok: false, version: null, path: null, rule: null });
    expect(report).toHaveProperty("problems.0", expect.stringMatching(/nowhere: does not exist/));
  });
});
