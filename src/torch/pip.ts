import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { WheelTarget } from "./wheel_names.js";

// The libraries are the same in the wheels for every Python, so whichever a mirror holds will do.
const PYTHON_VERSIONS = ["3.11", "3.12", "3.13", "3.10", "3.14"];

/**
 * Fetches a wheel with the user's own pip, which knows their mirrors, proxies and local folders of wheels.
 * Folders and pages that pip is told to find links in are asked first, without any index: a machine that has the
 * wheel needs no network. An index is asked only if it can have the wheel: one that the user configured, or
 * on macOS the public one, where the plain build is the one wanted.
 *
 * @param target an empty folder for the wheel.
 * @returns the path of the wheel, or in words why pip did not bring it.
 */
export async function pipDownload(
  wheel: WheelTarget,
  target: string,
  env: NodeJS.ProcessEnv,
): Promise<{ readonly path: string } | string> {
  const pip = await findPip(env);
  if (pip === undefined) return "there is no pip on the PATH";
  const settings = readSettings(pip.config);
  const passes: string[][] = [];
  if (settings.has("find-links")) passes.push(["--no-index"]);
  const hasIndex = settings.has("index-url") || settings.has("extra-index-url");
  if (!settings.has("no-index") && (hasIndex || process.platform === "darwin"))
    passes.push(patience(settings));
  if (passes.length === 0) {
    return "pip is not configured with an index or a folder of wheels that could hold a CPU build of torch";
  }

  let trouble = "";
  for (const extra of passes) {
    for (const python of PYTHON_VERSIONS) {
      const args = ["download", ...downloadArguments(wheel, target, python), ...extra, wheel.requirement];
      const end = await runProcess(pip.command, args, env);
      if (end.code === 0) {
        const name = (await readdir(target)).find((file) => file.endsWith(".whl"));
        if (name !== undefined) return { path: join(target, name) };
      }
      trouble = lastError(end.errors) ?? `pip ended with code ${end.code}`;
      if (!/No matching distribution|Could not find a version/.test(end.errors)) break;
    }
  }
  return trouble;
}

function downloadArguments(wheel: WheelTarget, target: string, python: string): string[] {
  const abi = `cp${python.replace(".", "")}`;
  const platforms = wheel.platformTags.flatMap((tag) => ["--platform", tag]);
  return [
    ...["--no-deps", "--only-binary=:all:", "--dest", target],
    ...["--implementation", "cp", "--python-version", python, "--abi", abi, "--abi", "none", ...platforms],
    ...["--no-input", "--disable-pip-version-check", "--progress-bar", "off"],
  ];
}

/** Keeps pip from waiting long for an index that does not answer, unless the user has said how patient it should be. */
function patience(settings: ReadonlySet<string>): string[] {
  const retries = settings.has("retries") ? [] : ["--retries", "1"];
  const timeout = settings.has("timeout") || settings.has("default-timeout") ? [] : ["--timeout", "15"];
  return [...retries, ...timeout];
}

/** The names of what the user has set. `pip config list` prints one `section.key='value'` a line; the section `:env:` stands for PIP_ variables. */
function readSettings(config: string): Set<string> {
  const settings = new Set<string>();
  for (const line of config.split("\n")) {
    const [, key, value] = /^(?:global|download|install|:env:)\.([\w-]+)=(.*)$/.exec(line.trim()) ?? [];
    if (key !== undefined && value !== undefined && value !== "''") settings.add(key.replaceAll("_", "-"));
  }
  return settings;
}

interface Pip {
  readonly command: readonly string[];
  readonly config: string;
}

async function findPip(env: NodeJS.ProcessEnv): Promise<Pip | undefined> {
  const commands =
    process.platform === "win32"
      ? [["python", "-m", "pip"], ["py", "-m", "pip"], ["pip"]]
      : [["python3", "-m", "pip"], ["pip3"], ["pip"]];
  for (const command of commands) {
    const { code, output } = await runProcess(command, ["config", "list"], env);
    if (code === 0) return { command, config: output };
  }
  return undefined;
}

interface ProcessEnd {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

function runProcess(
  command: readonly string[],
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<ProcessEnd> {
  return new Promise((resolve) => {
    const [program = "", ...first] = command;
    const child = spawn(program, [...first, ...args], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    });
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    child.on("error", ({ message }) => resolve({ code: null, output, errors: message }));
    child.on("close", (code) => resolve({ code, output, errors }));
  });
}

function lastError(errors: string): string | undefined {
  const lines = errors.split("\n").filter((line) => line.startsWith("ERROR:"));
  return lines.at(-1)?.slice("ERROR:".length).trim();
}
