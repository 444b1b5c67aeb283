/** @file What gathers between two log entries. */
import type { LogEntry } from "./callbacks.js";
import { RunningTotals } from "./metrics.js";
import type { StepResult } from "./step.js";
import type { TaskTotal } from "./task_totals.js";

interface StepTotal {
  readonly sum: number;
  readonly steps: number;
}

/** What has gathered since the last log entry. Plain JSON. */
export interface SinceLogState {
  /** Sum over steps of the mixed loss. */
  readonly loss: number;
  readonly steps: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly tasks: Readonly<Record<string, TaskTotal>>;
  /** Sums over steps of the norm of each task's gradient, and of how many steps. */
  readonly norms: Readonly<Record<string, StepTotal>>;
  /** The same of what each task's mean gradient was multiplied by. */
  readonly factors: Readonly<Record<string, StepTotal>>;
  /** Of the last step. */
  readonly gradNorm: number;
  readonly learningRate: number;
}

/** Numbers of tasks, as means over the steps of a log entry. */
export interface TaskMeans {
  /** Norms of their mean gradients. */
  readonly norms: Readonly<Record<string, number>>;
  /** What their mean gradients were multiplied by. */
  readonly factors: Readonly<Record<string, number>>;
}

/** Names the totals of a log entry, e.g. the CRAFT metrics. */
export type Describe = (totals: RunningTotals, means: TaskMeans) => LogEntry;

/** Sums over the steps since the last log entry. */
export class SinceLog {
  readonly #totals = new RunningTotals();
  #loss = 0;
  #steps = 0;
  #tokens = 0;
  #norms: Readonly<Record<string, StepTotal>> = {};
  #factors: Readonly<Record<string, StepTotal>> = {};
  #gradNorm = 0;
  #learningRate = 0;
  /** When the first step began, moved on by what is no step: evaluations and checkpoints. */
  #began = 0;

  get steps(): number {
    return this.#steps;
  }

  /** Whether the norms of the tasks' gradients are known of a step. */
  get hasNorms(): boolean {
    return Object.keys(this.#norms).length > 0;
  }

  /** Starts the clock, at the beginning of a run. */
  start(): void {
    this.#began += performance.now();
  }

  /** Leaves out some milliseconds. */
  pause(milliseconds: number): void {
    this.#began += milliseconds;
  }

  add({ loss, tokens, totals, norm, taskNorms, factors, learningRate }: StepResult): void {
    this.#loss += loss;
    this.#steps++;
    this.#tokens += tokens;
    this.#totals.add(totals);
    this.#norms = withStep(this.#norms, taskNorms);
    this.#factors = withStep(this.#factors, factors);
    this.#gradNorm = norm;
    this.#learningRate = learningRate;
  }

  tokensPerSecond(now = performance.now()): number {
    return (1000 * this.#tokens) / (now - this.#began);
  }

  /** The entry of these steps; afterwards nothing has gathered. */
  take(describe: Describe | undefined): LogEntry {
    const now = performance.now();
    const entry: LogEntry = {
      loss: this.#loss / this.#steps,
      grad_norm: this.#gradNorm,
      learning_rate: this.#learningRate,
      step_time: (now - this.#began) / 1000 / this.#steps,
      tokens_per_second: this.tokensPerSecond(now),
      ...(describe?.(this.#totals, { norms: means(this.#norms), factors: means(this.#factors) }) ??
        this.#totals.metrics()),
    };
    this.#loss = this.#steps = this.#tokens = 0;
    this.#totals.clear();
    this.#norms = this.#factors = {};
    this.#began = now;
    return entry;
  }

  state(): SinceLogState {
    return {
      loss: this.#loss,
      steps: this.#steps,
      tokens: this.#tokens,
      seconds: (performance.now() - this.#began) / 1000,
      tasks: this.#totals.state(),
      norms: this.#norms,
      factors: this.#factors,
      gradNorm: this.#gradNorm,
      learningRate: this.#learningRate,
    };
  }

  /** Goes on from a saved state; the clock stands until {@link start}. */
  restore(state: SinceLogState): void {
    this.#loss = state.loss;
    this.#steps = state.steps;
    this.#tokens = state.tokens;
    this.#began = -1000 * state.seconds;
    this.#totals.clear();
    this.#totals.add(new Map(Object.entries(state.tasks)));
    this.#norms = state.norms;
    this.#factors = state.factors;
    this.#gradNorm = state.gradNorm;
    this.#learningRate = state.learningRate;
  }
}

function withStep(
  totals: Readonly<Record<string, StepTotal>>,
  more: Readonly<Record<string, number>>,
): Record<string, StepTotal> {
  const added = Object.entries(more).map(([task, value]): [string, StepTotal] => {
    const { sum, steps } = totals[task] ?? { sum: 0, steps: 0 };
    return [task, { sum: sum + value, steps: steps + 1 }];
  });
  return { ...totals, ...Object.fromEntries(added) };
}

const means = (totals: Readonly<Record<string, StepTotal>>): Record<string, number> =>
  Object.fromEntries(Object.entries(totals).map(([task, { sum, steps }]) => [task, sum / steps]));
