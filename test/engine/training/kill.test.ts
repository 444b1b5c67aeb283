/** @file A run that is killed again and again, against one that never was. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, watch, type FSWatcher } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { Random } from "../../../src/random.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { killedRun } from "./killed_run.js";
import { readLog, temporaryFolders, withoutTimes } from "./tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();
const kills = 20;

interface Moment {
  /** Steps that the process may begin first. */
  readonly steps: number;
  /** Then wait until it begins to write a checkpoint. */
  readonly saving: boolean;
  /** And then some milliseconds. */
  readonly delay: number;
}

/** Runs the process until it is killed. */
function runAndKill(
  folder: string,
  { steps, saving, delay }: Moment,
): Promise<NodeJS.Signals | number | null> {
  const script = join(import.meta.dirname, "killed_run.ts");
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--import", "tsx", script, folder], {
      env: { ...process.env, OMP_NUM_THREADS: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let begun = 0;
    let watcher: FSWatcher | undefined;
    let armed = false;
    const kill = (): void => void setTimeout(() => child.kill("SIGKILL"), delay);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      begun += text.split("\n").length - 1;
      if (begun < steps || armed) return;
      armed = true;
      if (!saving) return kill();
      watcher = watch(folder, (_, name) => {
        if (name?.startsWith(".checkpoint-") === true) kill();
      });
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      watcher?.close();
      resolve(signal ?? code);
    });
  });
}

/** Of a checkpoint, all that is not a time or a path. */
function stateOf(folder: string): unknown {
  const text = readFileSync(join(folder, "checkpoint-200", "run_state.json"), "utf8");
  const timed = new Set(["seconds", "step_time", "tokens_per_second", "eval_runtime"]);
  return JSON.parse(text.replaceAll(folder, "OUT"), (name, value: unknown) =>
    timed.has(name) ? 0 : value,
  ) as unknown;
}

it(`ends, after ${kills} kills, as if it had never been killed`, { timeout: 400_000 }, async () => {
  const [through, killed] = [newFolder(), newFolder()];
  await killedRun(through);
  const random = new Random(20, "kills");
  let halfWritten = 0;
  for (let i = 0; i < kills; i++) {
    const saving = i % 2 === 1;
    const ended = await runAndKill(killed, {
      steps: 1 + random.integer(5),
      saving,
      delay: (saving ? 4 : 25) * random.uniform(),
    });
    expect(ended, "the run was over before all kills").toBe("SIGKILL");
    halfWritten += Number(readdirSync(killed).some((name) => name.startsWith(".")));
  }
  // Some of the moments lie within the writing of a checkpoint.
  expect(halfWritten).toBeGreaterThan(0);
  await killedRun(killed);

  expect(readdirSync(killed).sort()).toEqual(readdirSync(through).sort());
  for (const file of [
    "adapter_model.safetensors",
    "craft.safetensors",
    "checkpoint-200/adapter_model.safetensors",
    "checkpoint-200/craft.safetensors",
    "checkpoint-200/carried.safetensors",
    "checkpoint-200/optimizer.safetensors",
  ])
    expect(readFileSync(join(killed, file)).equals(readFileSync(join(through, file))), file).toBe(true);
  expect(stateOf(killed)).toEqual(stateOf(through));
  expect(withoutTimes(readLog(killed))).toEqual(withoutTimes(readLog(through)));
});
