/** @file The benchmark of QLoRA: memory of a step on Zephyr-7B's shape, its bfloat16 checkpoint quantised while it is read. */
import type { Benchmark } from "./benchmark.js";

const model = "Zephyr-7B";
const task = `QLoRA, ${model}, 1 row of 128 tokens`;

export function qloraBenchmark(): Benchmark {
  return {
    name: "qlora",
    model,
    // 8 GiB.
    floors: [{ task, peer: "ours", measure: "peak", bound: 8.59 }],
    groups: ({ checkpoint, scripts }) => [
      {
        task,
        relation: "costs",
        // The peak is there after one step, which takes its time.
        rounds: { steps: 1, warmUp: 0, starts: 0 },
        specs: [
          {
            name: "ours",
            label: "SFTTrainer, load_in_4bit",
            command: process.execPath,
            args: [
              scripts.path("sft"),
              ...["--checkpoint", checkpoint, "--load-in-4bit"],
              ...["--config", JSON.stringify({ perDeviceTrainBatchSize: 1 })],
            ],
          },
        ],
      },
    ],
    notes: (groups) =>
      groups.flatMap(({ sides }) =>
        sides.map(({ load_seconds: seconds }) => `loading, with quantisation: ${seconds.toFixed(0)} s`),
      ),
  };
}
