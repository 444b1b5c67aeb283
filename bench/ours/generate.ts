/** @file Our side: a greedy batch after random prompts, never ended early, as often as the driver asks for one. */
import { parseArgs } from "node:util";
import { AutoModelForCausalLM, loadTorch, numThreads, TokenGenerator } from "../../src/index.js";
import { newTokens, promptTokens, streams, tokenRows } from "../workload.js";
import { cpuSeconds, Session } from "./session.js";

const { values: given } = parseArgs({
  options: {
    checkpoint: { type: "string" },
    rows: { type: "string", default: "8" },
    once: { type: "boolean", default: false },
  },
});
if (given.checkpoint === undefined) throw new Error("--checkpoint is missing");
const rows = Number(given.rows);
const session = new Session("generate", given.once);

const { version } = await loadTorch();
const model = await AutoModelForCausalLM.fromPretrained(given.checkpoint, { dtype: "bfloat16" });
using generator = new TokenGenerator(model);
const inputIds = tokenRows(rows, streams.sft).map((row) => row.slice(0, promptTokens));
session.ready({
  versions: { node: process.versions.node, libtorch: version },
  settings: { rows, promptTokens, newTokens, dtype: "bfloat16", threads: numThreads() },
});
while (session.wait()) {
  const began = performance.now();
  const cpuBegan = cpuSeconds();
  const { sequences } = await generator.generate({ inputIds, maxNewTokens: newTokens, eosTokenIds: [] });
  const seconds = (performance.now() - began) / 1000;
  const cpu_seconds = cpuSeconds() - cpuBegan;
  const made = sequences.reduce((sum, { length }) => sum + length, 0);
  if (made !== rows * newTokens) throw new Error(`${made} new tokens instead of ${rows * newTokens}`);
  session.finished(seconds, { cpu_seconds, tokens_per_second: made / seconds });
}
session.end();
