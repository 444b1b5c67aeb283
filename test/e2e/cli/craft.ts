/** @file Runs the built command, and makes the small files that it is run on. */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { makeModel as writeModel } from "../../engine/tiny_model.js";

export const root = join(import.meta.dirname, "../../..");
export const command = join(root, "bin/craft.js");

/** A test of an old build would tell nothing. */
function requireBuild(): void {
  const built = join(root, "dist/cli/main.js");
  const names = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const sources = names.filter((name) => name.endsWith(".ts"));
  const newest = Math.max(...sources.map((name) => statSync(join(root, "src", name)).mtimeMs));
  if (!existsSync(built) || statSync(built).mtimeMs < newest)
    throw new Error("dist is missing or older than src: run `npm run build` before these tests");
}
requireBuild();

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Options of Node itself. */
  readonly nodeArgs?: readonly string[];
  /** Looked at every 20 ms; as soon as it holds, the process is killed outright, or gets the signal once. */
  readonly killWhen?: () => boolean;
  readonly signal?: NodeJS.Signals;
}

/** Runs `craft` with the given arguments to its end. */
export function craft(args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const { cwd = root, env = {}, nodeArgs = [], killWhen, signal = "SIGKILL" } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...nodeArgs, command, ...args], {
      cwd,
      // The models are too small to share a product, and threads that wait for each other cost more than they do.
      // No hub is asked unless a test brings its own.
      env: { ...process.env, OMP_NUM_THREADS: "1", HF_HUB_OFFLINE: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const watch = setInterval(() => {
      if (killWhen?.() !== true) return;
      child.kill(signal);
      clearInterval(watch);
    }, 20);
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(watch);
      resolve({ code, stdout, stderr });
    });
  });
}

/** Runs `craft … --json` and reads the one object that it prints. */
export async function craftJson(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Record<string, unknown>> {
  const result = await craft([...args, "--json"], options);
  if (result.code !== 0)
    throw new Error(`craft ${args.join(" ")} ended with ${result.code}:\n${result.stderr}`);
  return onlyObject(result.stdout);
}

/** The object that is all of a text: one line, and nothing before or after it. */
export function onlyObject(text: string): Record<string, unknown> {
  if (!/^\{[^\n]*\}\n$/.test(text)) throw new Error(`expected one JSON object on one line, got:\n${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}

/** A new folder that is removed after the tests of the file. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "craft-e2e-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A Llama of two small layers with random weights and 128 positions, see {@link writeModel}. */
export async function makeModel(folder: string): Promise<string> {
  await writeModel(folder, 128);
  return folder;
}

export function writeJsonl(path: string, rows: readonly object[]): string {
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

/** A run file. YAML is a superset of JSON. */
export function writeRunFile(path: string, options: object): string {
  writeFileSync(path, `${JSON.stringify(options, null, 2)}\n`);
  return path;
}

/** The objects of a log, one for each line. */
export function readLog(folder: string): Record<string, number>[] {
  const lines = readFileSync(join(folder, "log.jsonl"), "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, number>);
}

/** Shapes and dtypes by name, from the header of a safetensors file. */
export function tensorsOf(path: string): Record<string, { dtype: string; shape: number[] }> {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString("utf8")) as Record<
    string,
    { dtype: string; shape: number[] }
  >;
  return Object.fromEntries(
    Object.entries(header)
      .filter(([name]) => name !== "__metadata__")
      .map(([name, { dtype, shape }]) => [name, { dtype, shape }]),
  );
}

/** A folder with a model, rows and pairs, as a user has them. */
export async function makeProject(): Promise<string> {
  const folder = newFolder();
  mkdirSync(join(folder, "model"));
  await makeModel(join(folder, "model"));
  writeJsonl(join(folder, "train.jsonl"), trainRows);
  writeJsonl(join(folder, "dev.jsonl"), trainRows.slice(0, 4));
  writeJsonl(join(folder, "pairs.jsonl"), pairRows);
  return folder;
}

const animals = ["cat", "dog", "horse", "bird", "fish", "goat", "mouse", "snake"];
const sounds = ["meows", "barks", "neighs", "sings", "bubbles", "bleats", "squeaks", "hisses"];
const spanish = ["gato", "perro", "caballo", "pájaro", "pez", "cabra", "ratón", "serpiente"];

export const trainRows = animals.map((animal, i) => ({
  prompt: `What does the ${animal} do?`,
  completion: ` It ${sounds[i]!}.`,
}));
export const pairRows = animals.map((animal, i) => ({ en: `the ${animal}`, es: `el ${spanish[i]!}` }));
