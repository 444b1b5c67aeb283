/** @file The benchmarks of a step of the trainers on preferences and rollouts. */
import type { Benchmark } from "./benchmark.js";
import type { Floor } from "./compare.js";
import { peerScript } from "./python.js";

interface Peer {
  readonly label: string;
  readonly script: string;
  readonly args: readonly string[];
}

interface Workload {
  readonly task: string;
  /** Of ours/. */
  readonly script: "preferences" | "rollouts";
  readonly label: string;
  readonly peer: Peer;
  /** How many times as fast as the peer a step is to be, if that is asked. */
  readonly speed?: number;
}

const trl = (label: string, script: string, args: readonly string[] = []): Peer => ({ label, script, args });

/** By command. */
const workloads = {
  dpo: {
    task: "DPO, LoRA",
    script: "preferences",
    label: "DPOTrainer (ours)",
    peer: trl("TRL DPOTrainer", "trl_preferences.py", ["--trainer", "dpo"]),
    speed: 2.5,
  },
  orpo: {
    task: "ORPO, LoRA",
    script: "preferences",
    label: "ORPOTrainer (ours)",
    peer: trl("TRL ORPOTrainer", "trl_preferences.py", ["--trainer", "orpo"]),
    speed: 2.2,
  },
  grpo: {
    task: "GRPO, LoRA",
    script: "rollouts",
    label: "GRPOTrainer (ours)",
    peer: trl("TRL GRPOTrainer", "trl_grpo.py"),
    speed: 3,
  },
  ppo: {
    task: "PPO, LoRA",
    script: "rollouts",
    label: "PPOTrainer (ours)",
    peer: { label: "bare PyTorch loop", script: "torch_ppo.py", args: [] },
  },
} as const satisfies Readonly<Record<string, Workload>>;

export type TrainerName = keyof typeof workloads;
export const trainerNames = Object.keys(workloads) as TrainerName[];

/** Of peak memory, where a speed is asked. */
const memory = 0.6;

/**
 * A trainer of ours beside its peer, with LoRA of rank 8 on q, k, v and o. For DPO and ORPO a step is 4 pairs; for GRPO a
 * rollout of 4 prompts with 4 completions each and an optimiser step; for PPO a rollout of 16 prompts and the optimiser steps
 * of all passes over it.
 */
export function trainerBenchmark(name: TrainerName): Benchmark {
  const { task, script, label, peer, speed }: Workload = workloads[name];
  const asked = { task, peer: "peer" };
  const floors: readonly Floor[] =
    speed === undefined
      ? []
      : [
          { ...asked, measure: "speed", bound: speed },
          { ...asked, measure: "memory", bound: memory },
        ];
  return {
    name,
    floors,
    groups: ({ checkpoint, scripts, python }) => {
      const shared = ["--checkpoint", checkpoint];
      const ours = {
        name: "ours",
        label,
        command: process.execPath,
        args: [scripts.path(script), ...shared, "--trainer", name],
      };
      const other = {
        name: asked.peer,
        label: peer.label,
        command: python?.python ?? "",
        args: [peerScript(peer.script), ...shared, ...peer.args],
      };
      return [{ task, specs: python === undefined ? [ours] : [ours, other] }];
    },
  };
}
