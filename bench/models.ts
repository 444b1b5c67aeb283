/** @file The benchmark of another model: training steps on Gemma-3-270m's shape, and loading it. */
import type { Benchmark, Setting } from "./benchmark.js";
import type { Floor } from "./compare.js";
import type { Group } from "./rounds.js";
import { stepGroups, type PeerName } from "./sft.js";
import type { SideSpec } from "./side.js";

const model = "Gemma-3-270m";
const steps = { task: `CRAFT-SFT, LoRA, ${model}`, peer: "craft" };
const loading = { task: `loading ${model} in bfloat16`, peer: "loading" };

const floors: readonly Floor[] = [
  { ...steps, measure: "speed", bound: 2.2 },
  { ...steps, measure: "memory", bound: 0.6 },
  { ...loading, measure: "cost", bound: 1.5 },
  { ...loading, measure: "held", bound: 1.2 },
];

/** Loading takes a second or less, so that more rounds cost nothing. */
const loadingRounds = { steps: 7, warmUp: 1, starts: 0 };

/** Loading beside reading the bytes of the file into memory, each in a new process that has libtorch already. */
function loadingGroup({ checkpoint, scripts }: Setting): Group {
  const side = (name: string, label: string, flags: readonly string[]): SideSpec => ({
    name,
    label,
    command: process.execPath,
    args: [scripts.path("load"), "--checkpoint", checkpoint, ...flags],
  });
  return {
    task: loading.task,
    relation: "costs",
    rounds: loadingRounds,
    specs: [
      side("ours", "reading the file", ["--read"]),
      side(loading.peer, "AutoModelForCausalLM.fromPretrained", []),
    ],
  };
}

/** The workload and the peers of the SFT benchmark with LoRA, on another shape; and loading. */
export function modelsBenchmark(chosen: readonly PeerName[]): Benchmark {
  return {
    name: "models",
    model,
    floors,
    groups: (setting) => [...stepGroups(false, chosen, setting, `, ${model}`), loadingGroup(setting)],
  };
}
