/** @file The benchmark of generation. */
import type { Benchmark } from "./benchmark.js";
import { peerScript } from "./python.js";
import { newTokens, promptTokens } from "./workload.js";

const taskName = (rows: number): string =>
  `generation, ${rows} ${rows === 1 ? "row" : "rows"} of ${promptTokens} + ${newTokens} tokens`;

/** A step is one greedy batch after random prompts, never ended early, in bfloat16. */
export function generateBenchmark(rowCounts: readonly number[]): Benchmark {
  return {
    name: "generate",
    floors: rowCounts
      .filter((rows) => rows === 8)
      .map((rows) => ({ task: taskName(rows), peer: "transformers", measure: "speed", bound: 2 })),
    groups: ({ checkpoint, scripts, python }) =>
      rowCounts.map((rows) => {
        const shared = ["--checkpoint", checkpoint, "--rows", String(rows)];
        const ours = {
          name: "ours",
          label: "generate (ours)",
          command: process.execPath,
          args: [scripts.path("generate"), ...shared],
        };
        const peer = {
          name: "transformers",
          label: "transformers generate",
          command: python?.python ?? "",
          args: [peerScript("generate.py"), ...shared],
        };
        return { task: taskName(rows), specs: python === undefined ? [ours] : [ours, peer] };
      }),
  };
}
