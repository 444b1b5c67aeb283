/** @file The one training loop. Trainers are objectives and data on top of it. */
import { CraftError } from "../errors.js";
import type { LoaderState } from "../data/loader.js";
import type { WindowLoader } from "../data/windows.js";
import type { CausalLM } from "../models/causal_lm.js";
import { AdamW, clipDivisor, decayGroups, schedule } from "../optim/index.js";
import type { Parameter } from "../tensor/index.js";
import type { TrainingArguments } from "./arguments.js";
import type { LogEntry, TrainingListener } from "./log.js";
import { RunningTotals } from "./metrics.js";
import { MicroBatchRunner } from "./micro_batch.js";
import type { Mixture } from "./mixture.js";
import type { Objective, TaggedBatch } from "./objective.js";
import { Window, type TaskTotal } from "./window.js";

/** What has gathered since the last log entry. */
export interface SinceLog {
  /** Sum over steps of the mixed loss. */
  readonly loss: number;
  readonly steps: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly tasks: Readonly<Record<string, TaskTotal>>;
  /** Sums over steps of the norm of each task's gradient, and of how many steps. */
  readonly norms: Readonly<Record<string, NormTotal>>;
}

interface NormTotal {
  readonly sum: number;
  readonly steps: number;
}

/** Where a run stands between two steps. Plain JSON. */
export interface LoopState {
  readonly step: number;
  readonly loader: LoaderState;
  readonly sinceLog: SinceLog;
}

export interface LoopOptions {
  readonly model: CausalLM;
  /** What is trained, with the names by which weight decay and checkpoints know it. */
  readonly named: readonly (readonly [string, Parameter])[];
  readonly objectives: readonly Objective<never>[];
  readonly loader: WindowLoader<TaggedBatch>;
  readonly mixture: Mixture;
  readonly args: TrainingArguments;
  readonly listeners: readonly TrainingListener[];
  /** Names the totals of a log entry, e.g. the CRAFT metrics; norms of tasks are means over its steps. */
  readonly describe?: (totals: RunningTotals, taskNorms: Readonly<Record<string, number>>) => LogEntry;
  /** Called after each optimiser step, e.g. to keep a learnt temperature in range. */
  readonly afterStep?: () => void;
  readonly evaluate?: (() => Promise<LogEntry>) | undefined;
  readonly save: (folder: "checkpoint" | "final", state: LoopState, optimizer: AdamW) => Promise<string>;
}

export interface TrainOutput {
  readonly globalStep: number;
  /** Mean over steps of the mixed loss. */
  readonly trainingLoss: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/** Runs optimiser steps until the run is over. */
export class TrainingLoop {
  readonly optimizer: AdamW;
  readonly totalSteps: number;
  readonly #options: LoopOptions;
  readonly #runners: ReadonlyMap<string, MicroBatchRunner<never>>;
  readonly #learningRate: (step: number) => number;
  readonly #logged = new RunningTotals();
  #step = 0;
  #since = { loss: 0, steps: 0, tokens: 0, at: 0 };
  #norms: Readonly<Record<string, NormTotal>> = {};
  #lastNorm = 0;
  #lastRate = 0;

  constructor(options: LoopOptions) {
    const { args, named, model, objectives, loader } = options;
    this.#options = options;
    if (named.length === 0) {
      throw new CraftError({
        subject: "model",
        reason: "has no trainable parameter",
        remedy: "Attach LoRA, or call setTrainable(true).",
      });
    }
    this.totalSteps = countSteps(args, loader.stepsPerEpoch);
    const factor = schedule(args.lrSchedulerType, this.totalSteps, args.warmupSteps);
    this.#learningRate = (step) => args.learningRate * factor(step);
    const groups = decayGroups(named, args.weightDecay);
    this.optimizer = new AdamW(groups, { betas: [args.adamBeta1, args.adamBeta2], eps: args.adamEpsilon });
    // Gradients come in the optimiser's order.
    const { parameters } = this.optimizer;
    this.#runners = new Map(
      objectives.map((objective) => [
        objective.name,
        new MicroBatchRunner(objective, {
          model,
          parameters,
          gradientCheckpointing: args.gradientCheckpointing,
        }),
      ]),
    );
  }

  get state(): LoopState {
    const { loss, steps, tokens, at } = this.#since;
    const seconds = (performance.now() - at) / 1000;
    return {
      step: this.#step,
      loader: this.#options.loader.state(),
      sinceLog: { loss, steps, tokens, seconds, tasks: this.#logged.state(), norms: this.#norms },
    };
  }

  /** Goes on from a saved state; the weights and the optimiser's moments are restored by the caller. */
  restore(state: LoopState): void {
    this.#step = state.step;
    this.#options.loader.restore(state.loader);
    const { loss, steps, tokens, seconds, tasks, norms } = state.sinceLog;
    this.#since = { loss, steps, tokens, at: -1000 * seconds };
    this.#logged.add(new Map(Object.entries(tasks)));
    this.#norms = norms;
  }

  async run(): Promise<TrainOutput> {
    const { loader, listeners, args } = this.#options;
    const began = performance.now();
    const startStep = this.#step;
    for (const listener of listeners) listener.onTrainBegin?.({ totalSteps: this.totalSteps, startStep });
    this.#since.at += performance.now();
    const total = { loss: 0, tokens: 0 };
    try {
      while (this.#step < this.totalSteps) {
        let windows = 0;
        for await (const window of loader) {
          windows++;
          const { loss, tokens } = await this.#window(window);
          total.loss += loss;
          total.tokens += tokens;
          await this.#afterStep(loss, tokens);
          if (this.#step >= this.totalSteps) break;
        }
        if (windows === 0) throw new CraftError({ subject: "train_dataset", reason: "gives no batch" });
        if (args.evalStrategy === "epoch") await this.#evaluate();
        if (args.saveStrategy === "epoch") await this.#save();
      }
      await this.#options.save("final", this.state, this.optimizer);
    } finally {
      for (const listener of listeners) listener.onTrainEnd?.();
    }
    const seconds = (performance.now() - began) / 1000;
    const steps = this.#step - startStep;
    return {
      globalStep: this.#step,
      trainingLoss: steps === 0 ? 0 : total.loss / steps,
      seconds,
      tokensPerSecond: total.tokens / seconds,
    };
  }

  /** One optimiser step. */
  async #window(batches: readonly TaggedBatch[]): Promise<{ loss: number; tokens: number }> {
    const { mixture, args, afterStep } = this.#options;
    const window = new Window();
    let tokens = 0;
    try {
      for (const [i, { objective, batch }] of batches.entries()) {
        const runner = this.#runner(objective);
        // Batches carry the name of the objective that made them, so that the type is the objective's.
        const typed = batch as never;
        tokens += runner.objective.tokens(typed);
        const results = await runner.train(typed, [args.seed | 0, (this.#step * 4096 + i) | 0]);
        // The window owns the gradients from here on, and frees them should anything below throw.
        await window.add(results);
        for (const [task, { sum, weight }] of Object.entries(results)) {
          if (!Number.isFinite(sum)) throw this.#diverged(`${task} loss`, sum);
          if (weight === 0) throw nothingToLearn(task);
        }
      }
      const loss = window.loss(mixture);
      const { gradients, divisor, norm, taskNorms } = await window.mix(mixture);
      if (!Number.isFinite(norm)) {
        for (const gradient of gradients) gradient.dispose();
        throw this.#diverged("gradient norm", norm);
      }
      const learningRate = this.#learningRate(this.#step);
      this.optimizer.step(gradients, learningRate, divisor * clipDivisor(norm, args.maxGradNorm));
      afterStep?.();
      this.#step++;
      this.#logged.add(window.totals);
      this.#norms = withNorms(this.#norms, taskNorms);
      this.#lastNorm = norm;
      this.#lastRate = learningRate;
      return { loss, tokens };
    } finally {
      window.dispose();
    }
  }

  #runner(name: string): MicroBatchRunner<never> {
    const runner = this.#runners.get(name);
    if (runner === undefined)
      throw new CraftError({ subject: "batch", value: name, reason: "is for no objective of this trainer" });
    return runner;
  }

  #diverged(what: string, value: number): CraftError {
    return new CraftError({
      subject: what,
      value: String(value),
      reason: `is not finite at step ${this.#step + 1}; the weights are still those of step ${this.#step}`,
      remedy: `Lower learning_rate (${this.#options.args.learningRate}), add warmup_steps, or look for broken rows; checkpoints written before are whole.`,
    });
  }

  async #afterStep(loss: number, tokens: number): Promise<void> {
    const { args, listeners, loader } = this.#options;
    const now = performance.now();
    this.#since.loss += loss;
    this.#since.steps++;
    this.#since.tokens += tokens;
    const tokensPerSecond = (1000 * this.#since.tokens) / (now - this.#since.at);
    for (const listener of listeners) listener.onStepEnd?.({ step: this.#step, loss, tokensPerSecond });
    const last = this.#step === this.totalSteps;
    if (this.#step % args.loggingSteps === 0 || last) this.#log(loader.stepsPerEpoch, now, tokensPerSecond);
    const evalSteps = args.evalSteps ?? args.loggingSteps;
    if (args.evalStrategy === "steps" && (this.#step % evalSteps === 0 || last)) await this.#evaluate();
    if (args.saveStrategy === "steps" && (this.#step % args.saveSteps === 0 || last)) await this.#save();
    this.#since.at += performance.now() - now;
  }

  #epoch(stepsPerEpoch: number | undefined): number | undefined {
    return stepsPerEpoch === undefined ? undefined : this.#step / stepsPerEpoch;
  }

  #log(stepsPerEpoch: number | undefined, now: number, tokensPerSecond: number): void {
    const { listeners, describe } = this.#options;
    const { loss, steps, at } = this.#since;
    const entry: LogEntry = {
      step: this.#step,
      epoch: this.#epoch(stepsPerEpoch),
      loss: loss / steps,
      grad_norm: this.#lastNorm,
      learning_rate: this.#lastRate,
      step_time: (now - at) / 1000 / steps,
      tokens_per_second: tokensPerSecond,
      ...(describe?.(this.#logged, meanNorms(this.#norms)) ?? this.#logged.metrics()),
    };
    for (const listener of listeners) listener.onLog?.(entry);
    this.#since = { loss: 0, steps: 0, tokens: 0, at: now };
    this.#logged.clear();
    this.#norms = {};
  }

  async #evaluate(): Promise<void> {
    const { evaluate, listeners, loader } = this.#options;
    if (evaluate === undefined) return;
    const metrics = { step: this.#step, epoch: this.#epoch(loader.stepsPerEpoch), ...(await evaluate()) };
    for (const listener of listeners) listener.onEvaluate?.(metrics);
  }

  async #save(): Promise<void> {
    const folder = await this.#options.save("checkpoint", this.state, this.optimizer);
    for (const listener of this.#options.listeners) listener.onSave?.(folder);
  }

  dispose(): void {
    for (const runner of this.#runners.values()) runner.dispose();
    this.optimizer.dispose();
  }
}

function withNorms(
  totals: Readonly<Record<string, NormTotal>>,
  more: Readonly<Record<string, number>>,
): Record<string, NormTotal> {
  const added = Object.entries(more).map(([task, norm]): [string, NormTotal] => {
    const { sum, steps } = totals[task] ?? { sum: 0, steps: 0 };
    return [task, { sum: sum + norm, steps: steps + 1 }];
  });
  return { ...totals, ...Object.fromEntries(added) };
}

const meanNorms = (totals: Readonly<Record<string, NormTotal>>): Record<string, number> =>
  Object.fromEntries(Object.entries(totals).map(([task, { sum, steps }]) => [task, sum / steps]));

const nothingToLearn = (task: string): CraftError =>
  new CraftError({
    subject: `${task} micro-batch`,
    reason: "has a weight of 0: nothing in it counts, so there is nothing to learn from",
    remedy: "Look at what the data collator gives as labels.",
  });

function countSteps(args: TrainingArguments, stepsPerEpoch: number | undefined): number {
  if (args.maxSteps > 0) return args.maxSteps;
  if (stepsPerEpoch === undefined) {
    throw new CraftError({
      subject: "max_steps",
      value: args.maxSteps,
      reason: "a stream has no length to count epochs by",
      remedy: "Set max_steps.",
    });
  }
  return Math.ceil(args.numTrainEpochs * stepsPerEpoch);
}
