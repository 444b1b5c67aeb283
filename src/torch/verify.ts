import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { cutShort } from "./elf.js";
import { requiredLibraries } from "./library_files.js";
import { versionOfAbi, versionProblem } from "./versions.js";

/** What a libtorch did when it was loaded and asked to compute. */
export type Verification =
  | {
      readonly ok: true;
      /** The version that the library tells of itself. */
      readonly version: string;
      /** Threads that its products use by default. */
      readonly threads: number;
    }
  | { readonly ok: false; readonly reason: string };

export interface VerifyOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** How long the trial may take, in milliseconds. Default 120 000: a cold disk reads 400 MB slowly. */
  readonly timeoutMs?: number;
}

// Runs in the child, as plain CommonJS that any Node understands. Every step is named before it is taken, so that
// a crash can be placed. arguments: koffi's file, then the libraries in the order of loading.
const TRIAL = `
const { writeSync } = require("node:fs");
const say = (fact) => writeSync(1, JSON.stringify(fact) + "\\n");
const [koffiFile, ...libraries] = process.argv.slice(1);
try {
  say({ step: "loading koffi" });
  const koffi = require(koffiFile);
  let lib;
  for (const file of libraries) {
    say({ step: "loading " + file });
    lib = koffi.load(file, { global: true, lazy: true });
  }
  say({ step: "asking for the version" });
  const abi = BigInt(lib.func("uint64_t aoti_torch_abi_version()")());
  say({ step: "making a tensor" });
  const tensor = [null];
  const number = [0];
  const check = (code) => { if (code !== 0) throw new Error("the call returned " + code); };
  check(lib.func("int aoti_torch_scalar_to_tensor_float32(float, _Out_ void **)")(1.5, tensor));
  const out = [null];
  check(lib.func("int aoti_torch_aten_subtract_Tensor(void *, void *, double, _Out_ void **)")(tensor[0], tensor[0], -1, out));
  check(lib.func("int aoti_torch_item_float32(void *, _Out_ float *)")(out[0], number));
  const release = lib.func("int aoti_torch_delete_tensor_object(void *)");
  for (const handle of [tensor[0], out[0]]) check(release(handle));
  const threads = [0];
  check(lib.func("int torch_get_num_threads(_Out_ uint32_t *)")(threads));
  say({ abi: String(abi), sum: number[0], threads: threads[0] });
} catch (error) {
  say({ error: String(error && error.message ? error.message : error) });
  process.exitCode = 1;
}
`;

/**
 * Loads the libraries of a folder in a child process and lets them add two numbers, since a library that is cut
 * short or built for another machine kills the process that loads it.
 */
export async function verifyLibtorch(libDir: string, options: VerifyOptions = {}): Promise<Verification> {
  const koffi = createRequire(import.meta.url).resolve("koffi");
  const fail = (reason: string): Verification => ({ ok: false, reason });
  const libraries = requiredLibraries().map((name) => join(libDir, name));
  for (const file of libraries) {
    const problem = existsSync(file) ? cutShort(file) : "does not exist";
    if (problem !== undefined) return fail(`${file} ${problem}`);
  }
  const end = await runTrial([koffi, ...libraries], options);
  const facts = end.output
    .split("\n")
    .map(parseFact)
    .filter((fact) => fact !== undefined);
  const step = facts.findLast((fact) => typeof fact["step"] === "string")?.["step"];
  const place = typeof step === "string" ? ` while ${step}` : "";
  const error = facts.findLast((fact) => typeof fact["error"] === "string")?.["error"];

  if (typeof error === "string") return fail(`${error}${error.includes("/") ? "" : place}`);
  if (end.kind === "failed") return fail(`the trial process could not be started: ${end.message}`);
  if (end.kind === "late") return fail(`it gave no answer within ${end.seconds} s${place}`);
  if (end.signal !== null)
    return fail(`it crashed with ${end.signal}${place}; its files may be cut short or damaged`);

  const result = facts.find((fact) => "abi" in fact);
  if (end.code !== 0 || result === undefined) {
    const why = end.errors === "" ? "" : `: ${end.errors.trim().split("\n").at(-1)}`;
    return fail(`the trial process ended with code ${end.code}${place}${why}`);
  }
  const version = versionOfAbi(BigInt(String(result["abi"])));
  const problem = versionProblem(version);
  if (problem !== undefined) return fail(problem);
  if (result["sum"] !== 3) return fail(`it computed 1.5 + 1.5 = ${String(result["sum"])}`);
  return { ok: true, version, threads: Number(result["threads"]) };
}

type TrialEnd = { readonly output: string; readonly errors: string } & (
  | { readonly kind: "ended"; readonly code: number | null; readonly signal: NodeJS.Signals | null }
  | { readonly kind: "late"; readonly seconds: number }
  | { readonly kind: "failed"; readonly message: string }
);

function runTrial(
  args: readonly string[],
  { env = process.env, timeoutMs = 120_000 }: VerifyOptions,
): Promise<TrialEnd> {
  return new Promise((resolve) => {
    // The options of this process (debuggers, loaders) are not for the trial.
    const childEnv: NodeJS.ProcessEnv = { ...env, ELECTRON_RUN_AS_NODE: "1" };
    delete childEnv["NODE_OPTIONS"];
    const child = spawn(process.execPath, ["--input-type=commonjs", "-e", TRIAL, "--", ...args], {
      env: childEnv,
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    });
    let output = "";
    let errors = "";
    let late = false;
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    child.on("error", ({ message }) => {
      clearTimeout(timer);
      resolve({ kind: "failed", message, output, errors });
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve(
        late
          ? { kind: "late", seconds: timeoutMs / 1000, output, errors }
          : { kind: "ended", code, signal, output, errors },
      );
    });
  });
}

function parseFact(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const fact: unknown = JSON.parse(line);
    return typeof fact === "object" && fact !== null ? { ...fact } : undefined;
  } catch {
    return undefined;
  }
}
