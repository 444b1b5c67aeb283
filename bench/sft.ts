/** @file The benchmark of training steps. */
import { CraftError } from "../src/errors.js";
import type { Benchmark, Setting } from "./benchmark.js";
import type { Floor } from "./compare.js";
import { peerScript } from "./python.js";
import type { Group } from "./rounds.js";
import type { SideSpec } from "./side.js";

/** The peers by name: which of our trainers they are compared with, and how they are started. */
const peers = {
  craft: { task: "craft", script: "craft_sft.py", label: "Python CRAFT", args: [] },
  loop: { task: "craft", script: "torch_loop.py", label: "bare PyTorch loop", args: [] },
  "tuned-loop": {
    task: "craft",
    script: "torch_loop.py",
    label: "bare PyTorch loop that keeps its memory",
    args: ["--keep-memory"],
  },
  trl: { task: "sft", script: "trl_sft.py", label: "TRL SFTTrainer", args: [] },
} as const;

export type PeerName = keyof typeof peers;
export const peerNames = Object.keys(peers) as PeerName[];
export const defaultPeers: readonly PeerName[] = ["trl", "craft", "loop"];

/** Reads `trl,craft`. */
export function parsePeers(text: string): PeerName[] {
  return text.split(",").map((name) => {
    const known = peerNames.find((peer) => peer === name.trim());
    if (known !== undefined) return known;
    throw new CraftError({
      subject: "--peers",
      value: name,
      reason: "there is no such peer",
      remedy: `There are ${peerNames.join(", ")}.`,
    });
  });
}

const tuning = (full: boolean): string => (full ? "full fine-tuning" : "LoRA");
const taskName = { craft: "CRAFT-SFT", sft: "SFT" } as const;

function floors(full: boolean): Floor[] {
  const common = { task: `${taskName.craft}, ${tuning(full)}`, peer: "craft" };
  const speed: Floor = { ...common, measure: "speed", bound: 1.8 };
  if (full) return [speed];
  return [speed, { ...common, measure: "memory", bound: 0.6 }, { ...common, measure: "start", bound: 0.4 }];
}

/**
 * Our trainers beside those of the chosen peers that do the same. A step is 4 rows of 128 tokens, half of them
 * supervised; for CRAFT also 4 pairs of 128 tokens a side.
 *
 * @param full all weights are trained, else LoRA of rank 8 on q, k, v and o
 * @param suffix of the tasks' names
 */
export function stepGroups(
  full: boolean,
  chosen: readonly PeerName[],
  { checkpoint, scripts, python }: Setting,
  suffix = "",
): Group[] {
  const group = (task: "craft" | "sft"): Group => {
    const shared = ["--checkpoint", checkpoint, ...(full ? ["--full"] : [])];
    const ours: SideSpec = {
      name: "ours",
      label: task === "craft" ? "CRAFTSFTTrainer (ours)" : "SFTTrainer (ours)",
      command: process.execPath,
      args: [scripts.path("sft"), ...shared, ...(task === "craft" ? ["--craft"] : [])],
    };
    const others = chosen.flatMap((name): SideSpec[] => {
      const peer = peers[name];
      if (python === undefined || peer.task !== task) return [];
      const label = name === "craft" ? `${peer.label} (${python.craft})` : peer.label;
      return [
        { name, label, command: python.python, args: [peerScript(peer.script), ...shared, ...peer.args] },
      ];
    });
    return { task: `${taskName[task]}, ${tuning(full)}${suffix}`, specs: [ours, ...others] };
  };
  return (["craft", "sft"] as const)
    .filter((task) => chosen.some((name) => peers[name].task === task))
    .map(group);
}

/** The groups of {@link stepGroups}. */
export function sftBenchmark(full: boolean, chosen: readonly PeerName[]): Benchmark {
  return {
    name: full ? "sft-full" : "sft",
    floors: floors(full),
    groups: (setting) => stepGroups(full, chosen, setting),
  };
}
