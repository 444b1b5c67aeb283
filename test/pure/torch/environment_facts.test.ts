import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { statfsSync } from "node:fs";
import { expect, it } from "vitest";
import {
  autoDtype,
  defaultThreads,
  describeEnvironment,
  freeDisk,
  memory,
  parseCpuinfo,
} from "../../../src/torch/environment.js";

it("reads the features that matter from /proc/cpuinfo, x86 and Arm", () => {
  const x86 =
    "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu avx2 fma avx512f avx512_bf16 amx_bf16x f16c\n\nprocessor\t: 1\n";
  expect(parseCpuinfo(x86)).toEqual(["avx2", "f16c", "fma", "avx512f", "avx512_bf16"]);
  const arm = "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd sve asimddp i8mm bf16 dgh\n";
  expect(parseCpuinfo(arm)).toEqual(["asimd", "asimddp", "i8mm", "bf16", "sve"]);
  expect(parseCpuinfo("")).toEqual([]);
});

it.each<[string[], NodeJS.Platform, string, RegExp]>([
  [["avx2", "avx512f", "avx512_bf16"], "linux", "bfloat16", /avx512_bf16/],
  [["avx512f", "avx512_bf16", "amx_bf16"], "linux", "bfloat16", /amx_bf16/],
  [["asimd", "bf16"], "linux", "bfloat16", /has bf16/],
  [["avx2", "avx512f"], "linux", "float32", /neither/],
  [["asimd", "bf16"], "darwin", "float32", /Mac/],
  [[], "win32", "float32", /does not tell/],
])("%j on %s computes in %s", (features, platform, dtype, reason) => {
  expect(autoDtype(features, platform)).toEqual({ dtype, reason: expect.stringMatching(reason) as unknown });
});

it("takes the number of threads from the variables that libtorch reads", () => {
  expect(defaultThreads({ OMP_NUM_THREADS: "3", MKL_NUM_THREADS: "5" })).toBe(3);
  expect(defaultThreads({ MKL_NUM_THREADS: "5" })).toBe(5);
  expect(defaultThreads({ OMP_NUM_THREADS: "many" })).toBe(defaultThreads({}));
});

it.runIf(process.platform === "linux")("tells the machine's features and memory as the system does", () => {
  const { processor, memory: reported, node, platform } = describeEnvironment({});
  const flags = readFileSync("/proc/cpuinfo", "utf8");
  for (const feature of processor.features) expect(flags).toMatch(new RegExp(`\\b${feature}\\b`));
  const total = Number(/MemTotal:\s+(\d+) kB/.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;
  expect(reported.total_bytes).toBeLessThanOrEqual(total);
  expect(reported.free_bytes).toBeGreaterThan(0);
  expect(memory().free_bytes).toBeLessThanOrEqual(memory().total_bytes);
  expect(node).toBe(process.version);
  expect(platform).toBe(`linux ${process.arch}`);
});

it("tells the free disk of a folder that does not exist yet", () => {
  const { bavail, bsize } = statfsSync(tmpdir());
  const free = freeDisk(join(tmpdir(), "not", "there", "yet"));
  expect(Math.abs(free - bavail * bsize)).toBeLessThan(2e9);
});
