/**
 * @file Loading a model, or only reading its file into memory. Each step is a process of its own, as with a user: a second
 * load in one process would find its memory prepared by the first.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AutoModelForCausalLM, loadTorch, numThreads } from "../../src/index.js";
import { constant, evaluate } from "../../src/tensor/index.js";
import { cpuSeconds, peakBytes, Session } from "./session.js";

const { values: given } = parseArgs({
  options: {
    checkpoint: { type: "string" },
    read: { type: "boolean", default: false },
    once: { type: "boolean", default: false },
    measure: { type: "boolean", default: false },
  },
});
const { checkpoint, read } = given;
if (checkpoint === undefined) throw new Error("--checkpoint is missing");

interface Measurement {
  readonly seconds: number;
  readonly cpu_seconds: number;
  readonly peak: number;
  /** The peak before: of a process that has loaded libtorch and computed something with it. */
  readonly empty: number;
}

async function measure(folder: string): Promise<Measurement> {
  await loadTorch();
  (await evaluate(constant([1, 2]).mul(2))).dispose();
  const empty = peakBytes();
  const cpuBegan = cpuSeconds();
  const began = performance.now();
  const held = read
    ? readFileSync(join(folder, "model.safetensors"))
    : await AutoModelForCausalLM.fromPretrained(folder, { dtype: "bfloat16" });
  const seconds = (performance.now() - began) / 1000;
  const cpu_seconds = cpuSeconds() - cpuBegan;
  const peak = peakBytes();
  if ("dispose" in held) held.dispose();
  return { seconds, cpu_seconds, peak, empty };
}

if (given.measure) {
  process.stdout.write(JSON.stringify(await measure(checkpoint)));
} else {
  const session = new Session(read ? "read" : "load", given.once);
  const { version } = await loadTorch();
  const { size } = statSync(join(checkpoint, "model.safetensors"));
  session.ready({
    versions: { node: process.versions.node, libtorch: version },
    settings: { dtype: "bfloat16", bytes: size, threads: numThreads() },
  });
  let most = 0;
  while (session.wait()) {
    const args = [process.argv[1]!, "--measure", "--checkpoint", checkpoint, ...(read ? ["--read"] : [])];
    const text = execFileSync(process.execPath, args, { encoding: "utf8" });
    const { seconds, cpu_seconds, peak, empty } = JSON.parse(text) as Measurement;
    most = Math.max(most, peak);
    session.finished(seconds, { cpu_seconds, empty_rss_bytes: empty, held: (peak - empty) / size });
  }
  session.end(most);
}
