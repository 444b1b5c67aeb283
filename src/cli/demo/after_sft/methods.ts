/** @file The methods that go on from SFT in the demo. */

export const methods = ["dpo", "orpo", "grpo", "ppo"] as const;
export type Method = (typeof methods)[number];

/** What a method learns from. */
export type Lesson = "preferences" | "rewards";

interface MethodFacts {
  /** As it is written. */
  readonly title: string;
  readonly lesson: Lesson;
  /** Optimiser steps, unless the user says otherwise. */
  readonly steps: number;
  /** Pairs, or completions, of a step. */
  readonly rows: number;
}

export const methodFacts = {
  dpo: { title: "DPO", lesson: "preferences", steps: 100, rows: 16 },
  orpo: { title: "ORPO", lesson: "preferences", steps: 100, rows: 16 },
  grpo: { title: "GRPO", lesson: "rewards", steps: 60, rows: 64 },
  ppo: { title: "PPO", lesson: "rewards", steps: 120, rows: 64 },
} as const satisfies Record<Method, MethodFacts>;
