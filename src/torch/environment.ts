import { spawnSync } from "node:child_process";
import { closeSync, openSync, readSync, statfsSync, statSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { dirname } from "node:path";

/** The processor, as far as it matters to the speed of products. */
export interface Processor {
  readonly model: string;
  /** Those of the instruction sets that decide about products which the processor has; empty where the system does not tell. */
  readonly features: readonly string[];
}

export interface ComputeDtype {
  readonly dtype: "bfloat16" | "float32";
  readonly reason: string;
}

export interface Environment {
  readonly processor: Processor;
  /** What `dtype: "auto"` means on this machine's CPU. */
  readonly compute: ComputeDtype;
  /** Threads that libtorch will use unless told otherwise, as far as it can be known without loading it. */
  readonly threads: number;
  readonly memory: { readonly free_bytes: number; readonly total_bytes: number };
  readonly node: string;
  readonly platform: string;
  /** Version of the C library; undefined where that is not glibc. */
  readonly glibc: string | undefined;
}

// In the order of the report.
const X86 = [
  "avx2",
  "f16c",
  "fma",
  "avx512f",
  "avx512_vnni",
  "avx512_bf16",
  "avx512_fp16",
  "amx_int8",
  "amx_bf16",
];
const ARM = ["asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"];

/** What this machine offers. Takes a few milliseconds; loads nothing. */
export function describeEnvironment(env: NodeJS.ProcessEnv = process.env): Environment {
  const processor = readProcessor();
  return {
    processor,
    compute: autoDtype(processor.features),
    threads: defaultThreads(env),
    memory: memory(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    glibc: glibcVersion(),
  };
}

/**
 * The dtype that `dtype: "auto"` stands for on a CPU: bfloat16 where the processor multiplies it in hardware
 * (AVX-512 BF16, AMX, or Arm BF16 on Linux), else float32. Emulated bfloat16 is slower than float32.
 */
export function autoDtype(
  features: readonly string[],
  platform: NodeJS.Platform = process.platform,
): ComputeDtype {
  const fast = ["amx_bf16", "avx512_bf16", "bf16"].find((feature) => features.includes(feature));
  if (platform === "darwin")
    return { dtype: "float32", reason: "libtorch's bfloat16 products are slow on the CPU of a Mac" };
  if (fast !== undefined) return { dtype: "bfloat16", reason: `the processor has ${fast}` };
  const reason =
    features.length === 0
      ? "the system does not tell what the processor can do"
      : "the processor has neither avx512_bf16, amx_bf16 nor Arm's bf16";
  return { dtype: "float32", reason };
}

/** The processor's model and the features that matter, as the operating system tells them. */
export function readProcessor(): Processor {
  const model = cpus()[0]?.model.trim() ?? "";
  return { model: model === "" ? process.arch : model, features: readFeatures() };
}

function readFeatures(): string[] {
  if (process.platform === "linux") return parseCpuinfo(readHead("/proc/cpuinfo", 16_384));
  if (process.platform === "darwin") {
    const names = { asimd: "AdvSIMD", asimddp: "FEAT_DotProd", i8mm: "FEAT_I8MM", bf16: "FEAT_BF16" };
    const keys = Object.values(names).map((name) => `hw.optional.arm.${name}`);
    const { stdout } = spawnSync("sysctl", keys, { encoding: "utf8" });
    return Object.entries(names)
      .filter(([, name]) => stdout.includes(`${name}: 1`))
      .map(([feature]) => feature);
  }
  return [];
}

/** The features that matter in the first block of /proc/cpuinfo. */
export function parseCpuinfo(text: string): string[] {
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1] ?? "";
  const present = new Set(line.trim().split(/\s+/));
  return [...X86, ...ARM].filter((feature) => present.has(feature));
}

// The kernel writes /proc/cpuinfo as it is read, processor by processor; on large machines all of it takes long.
function readHead(file: string, bytes: number): string {
  const buffer = Buffer.alloc(bytes);
  let length = 0;
  try {
    const fd = openSync(file, "r");
    try {
      for (let got = -1; got !== 0 && length < bytes; length += got) {
        got = readSync(fd, buffer, length, bytes - length, null);
      }
    } finally {
      closeSync(fd);
    }
  } catch {
    return "";
  }
  return buffer.toString("utf8", 0, length);
}

/** `OMP_NUM_THREADS` or `MKL_NUM_THREADS` where set, else the processors that this process may use. */
export function defaultThreads(env: NodeJS.ProcessEnv = process.env): number {
  for (const name of ["OMP_NUM_THREADS", "MKL_NUM_THREADS"]) {
    const threads = Number.parseInt(env[name] ?? "", 10);
    if (threads > 0) return threads;
  }
  return availableParallelism();
}

/** Free and total memory in bytes, within the limits that a container sets. */
export function memory(): { readonly free_bytes: number; readonly total_bytes: number } {
  const limit = process.constrainedMemory();
  const total = totalmem();
  // Without a limit some kernels answer 0 and some a number beyond any memory.
  const limited = limit > 0 && limit < total;
  return limited
    ? { free_bytes: Math.min(freemem(), process.availableMemory()), total_bytes: limit }
    : { free_bytes: freemem(), total_bytes: total };
}

/** Bytes free to this user on the disk that a path lies on, or would lie on if it existed. */
export function freeDisk(path: string): number {
  let existing = path;
  while (statSync(existing, { throwIfNoEntry: false }) === undefined && dirname(existing) !== existing) {
    existing = dirname(existing);
  }
  const { bavail, bsize } = statfsSync(existing);
  return bavail * bsize;
}

function glibcVersion(): string | undefined {
  if (process.platform !== "linux") return undefined;
  const report: unknown = process.report.getReport();
  if (typeof report !== "object" || report === null || !("header" in report)) return undefined;
  const { header } = report;
  if (typeof header !== "object" || header === null || !("glibcVersionRuntime" in header)) return undefined;
  return typeof header.glibcVersionRuntime === "string" ? header.glibcVersionRuntime : undefined;
}
