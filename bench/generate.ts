/** @file The benchmark of generation. */
import type { Benchmark } from "./benchmark.js";
import { peerScript } from "./python.js";
import { newTokens, promptTokens } from "./workload.js";

const taskName = (rows: number): string =>
  `generation, ${rows} ${rows === 1 ? "row" : "rows"} of ${promptTokens} + ${newTokens} tokens`;

/** How many times as fast as the peer generation is to be, by its number of rows. */
const floorOf: ReadonlyMap<number, number> = new Map([
  [1, 2],
  [8, 2.5],
]);

/** A step is one greedy batch after random prompts, never ended early, in bfloat16. */
export function generateBenchmark(rowCounts: readonly number[]): Benchmark {
  return {
    name: "generate",
    floors: rowCounts.flatMap((rows) => {
      const bound = floorOf.get(rows);
      return bound === undefined
        ? []
        : [{ task: taskName(rows), peer: "transformers", measure: "speed" as const, bound }];
    }),
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
