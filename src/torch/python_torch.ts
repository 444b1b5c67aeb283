import { spawnSync } from "node:child_process";
import { dirname } from "node:path";

// The package is looked up, not imported: importing takes seconds. The working folder is taken off the
// search path, where a folder that happens to be called torch would be found.
const QUESTION = `
import sys
sys.path[:] = [p for p in sys.path if p]
import importlib.util as u
s = u.find_spec("torch")
print(s.origin if s and s.origin else "")
`;

/** The name of the Python interpreter that is asked. */
export const PYTHON = process.platform === "win32" ? "python" : "python3";

/** Where the `python3` on the PATH keeps its torch package, or in words why there is none. */
export function findPythonTorch(env: NodeJS.ProcessEnv): { readonly folder: string } | string {
  const answer = spawnSync(PYTHON, ["-c", QUESTION], {
    env: { ...env, PYTHONIOENCODING: "utf-8" },
    encoding: "utf8",
    timeout: 20_000,
    windowsHide: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (answer.error !== undefined) {
    const { error } = answer;
    if ("code" in error && error.code === "ENOENT") return `there is no ${PYTHON} on the PATH`;
    return `${PYTHON} could not be asked: ${error.message}`;
  }
  if (answer.status !== 0) {
    const last = answer.stderr.trim().split("\n").at(-1) ?? "";
    return `${PYTHON} failed${last === "" ? "" : `: ${last}`}`;
  }
  const origin = answer.stdout.trim();
  return origin === "" ? `${PYTHON} has no torch` : { folder: dirname(origin) };
}
