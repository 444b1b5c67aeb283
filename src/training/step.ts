/** @file One optimiser step: micro-batches, their mixed gradient, clipping, the optimiser. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { AdamW, clipDivisor, decayGroups } from "../optim/index.js";
import type { Parameter } from "../tensor/index.js";
import type { TrainingArguments } from "./arguments.js";
import { JointWindow, planJointly } from "./joint_window.js";
import { MicroBatchRunner } from "./micro_batch.js";
import type { Mixture } from "./mixture.js";
import type { Objective, TaggedBatch } from "./objective.js";
import type { TaskTotal } from "./task_totals.js";
import { Window } from "./window.js";

export interface StepOptions {
  readonly model: CausalLM;
  /** What is trained, with the names by which weight decay and checkpoints know it. */
  readonly named: readonly (readonly [string, Parameter])[];
  readonly objectives: readonly Objective<never>[];
  readonly mixture: Mixture;
  readonly args: TrainingArguments;
  /** Called after each optimiser step, e.g. to keep a learnt temperature in range. */
  readonly afterStep?: (() => void | Promise<void>) | undefined;
}

export interface StepResult {
  /** The tasks' mean losses, mixed. */
  readonly loss: number;
  readonly tokens: number;
  readonly totals: ReadonlyMap<string, TaskTotal>;
  /** Norm of the gradient before clipping. */
  readonly norm: number;
  /** Norms of the tasks' mean gradients, where they were measured. */
  readonly taskNorms: Readonly<Record<string, number>>;
  /** What each task's mean gradient was multiplied by. */
  readonly factors: Readonly<Record<string, number>>;
  readonly learningRate: number;
}

/** What a step is told. */
export interface StepPlan {
  /** Steps done before this one. */
  readonly step: number;
  readonly learningRate: number;
  /** Whether the norms of the tasks' gradients are wanted, even where they take further passes. */
  readonly norms: boolean;
}

/** What is to happen inside a step. What they throw ends it, and nothing has changed if the optimiser has not run. */
export interface StepHooks {
  /** After a micro-batch, counted from 0. */
  microBatch(index: number, of: number, objective: string): Promise<void>;
  preOptimizer(norm: number): Promise<void>;
}

/** Runs optimiser steps. */
export class StepRunner {
  readonly optimizer: AdamW;
  readonly #options: StepOptions;
  readonly #runners: ReadonlyMap<string, MicroBatchRunner<never>>;

  constructor(options: StepOptions) {
    const { args, named, model, objectives } = options;
    this.#options = options;
    if (named.length === 0) {
      throw new CraftError({
        subject: "model",
        reason: "has no trainable parameter",
        remedy: "Attach LoRA, or call setTrainable(true).",
      });
    }
    const groups = decayGroups(named, args.weightDecay);
    this.optimizer = new AdamW(groups, { betas: [args.adamBeta1, args.adamBeta2], eps: args.adamEpsilon });
    // Gradients come in the optimiser's order.
    const { parameters } = this.optimizer;
    const { gradientCheckpointing } = args;
    this.#runners = new Map(
      objectives.map((objective) => [
        objective.name,
        new MicroBatchRunner(objective, { model, parameters, gradientCheckpointing }),
      ]),
    );
  }

  async run(batches: readonly TaggedBatch[], place: StepPlan, hooks: StepHooks): Promise<StepResult> {
    const { mixture, args, afterStep } = this.#options;
    const { step, learningRate } = place;
    const window = this.#window(batches, place.norms);
    let tokens = 0;
    try {
      for (const [i, { objective, batch }] of batches.entries()) {
        const runner = this.#runner(objective);
        // Batches carry the name of the objective that made them, so that the type is the objective's.
        const typed = batch as never;
        tokens += runner.objective.tokens(typed);
        // The window owns the gradients, and frees them should anything below throw.
        const results = await window.train(runner, typed, [args.seed | 0, (step * 4096 + i) | 0]);
        for (const [task, { sum, weight }] of Object.entries(results)) {
          if (!Number.isFinite(sum)) throw this.#diverged(`${task} loss`, sum, step);
          if (weight === 0) throw nothingToLearn(task);
        }
        await hooks.microBatch(i, batches.length, objective);
      }
      const { loss, gradients, divisor, norm, taskNorms, factors } = await window.mix(mixture);
      try {
        if (!Number.isFinite(norm)) throw this.#diverged("gradient norm", norm, step);
        await hooks.preOptimizer(norm);
      } catch (error) {
        for (const gradient of gradients) gradient.dispose();
        throw error;
      }
      this.optimizer.step(gradients, learningRate, divisor * clipDivisor(norm, args.maxGradNorm));
      await afterStep?.();
      return { loss, tokens, totals: window.totals, norm, taskNorms, factors, learningRate };
    } finally {
      window.dispose();
    }
  }

  #window(batches: readonly TaggedBatch[], norms: boolean): Window | JointWindow {
    const weights = batches.map(({ objective, batch }) => {
      const runner = this.#runner(objective);
      return runner.joins ? runner.objective.weights?.(batch as never) : undefined;
    });
    const plan = planJointly(weights, this.#options.mixture);
    return plan === undefined ? new Window() : new JointWindow(plan, norms);
  }

  #runner(name: string): MicroBatchRunner<never> {
    const runner = this.#runners.get(name);
    if (runner === undefined)
      throw new CraftError({ subject: "batch", value: name, reason: "is for no objective of this trainer" });
    return runner;
  }

  #diverged(what: string, value: number, step: number): CraftError {
    return new CraftError({
      subject: what,
      value: String(value),
      reason: `is not finite at step ${step + 1}; the weights are still those of step ${step}`,
      remedy: `Lower learning_rate (${this.#options.args.learningRate}), add warmup_steps, or look for broken rows; checkpoints written before are whole.`,
    });
  }

  dispose(): void {
    for (const runner of this.#runners.values()) runner.dispose();
    this.optimizer.dispose();
  }
}

const nothingToLearn = (task: string): CraftError =>
  new CraftError({
    subject: `${task} micro-batch`,
    reason: "has a weight of 0: nothing in it counts, so there is nothing to learn from",
    remedy: "Look at what the data collator gives as labels.",
  });
