/** @file Which options go together, and what some of them come to. */
import { CraftError } from "../errors.js";
import { requireWarmup } from "../optim/schedule.js";
import { scheduleKwargs } from "../optim/schedule_kwargs.js";
import type { TrainingArguments } from "./arguments.js";

/** How evaluations are compared. */
export interface BestRule {
  /** Name of the metric as evaluations report it, with `eval_`. */
  readonly metric: string;
  readonly greaterIsBetter: boolean;
}

/** By which metric evaluations are compared; undefined where nothing asks for it. */
export function bestRule(args: TrainingArguments): BestRule | undefined {
  const needed = args.loadBestModelAtEnd || args.lrSchedulerType === "reduce_lr_on_plateau";
  const name = args.metricForBestModel ?? (needed ? "loss" : undefined);
  if (name === undefined) return undefined;
  return {
    metric: name.startsWith("eval_") ? name : `eval_${name}`,
    greaterIsBetter: args.greaterIsBetter ?? !name.endsWith("loss"),
  };
}

/** Steps of an interval that may be given as a share of the run. */
export const intervalSteps = (interval: number, totalSteps: number): number =>
  interval < 1 ? Math.ceil(interval * totalSteps) : interval;

/** Where a run reports, beside log.jsonl. */
export function reportsOf({ reportTo }: TrainingArguments): ReadonlySet<string> {
  const names = new Set<string>(typeof reportTo === "string" ? [reportTo] : reportTo);
  names.delete("none");
  return names;
}

/** @throws CraftError naming the first option that means nothing beside the others, with the reason. */
export function checkTogether(args: TrainingArguments): void {
  checkSchedule(args);
  checkBest(args);
  const { reportTo } = args;
  if (Array.isArray(reportTo) && reportTo.includes("none") && reportTo.length > 1) {
    throw new CraftError({
      subject: "report_to",
      value: reportTo,
      reason: "says none and something beside it",
      remedy: "Leave none out.",
    });
  }
}

function checkSchedule(args: TrainingArguments): void {
  const { lrSchedulerType: type, lrSchedulerKwargs: kwargs, warmupSteps, evalStrategy } = args;
  scheduleKwargs(type, kwargs);
  requireWarmup(type, warmupSteps);
  if (type !== "reduce_lr_on_plateau") return;
  if (evalStrategy === "no") {
    throw new CraftError({
      subject: "lr_scheduler_type",
      value: type,
      reason: "goes by evaluations, and eval_strategy is no",
      remedy: "Set eval_strategy to steps or epoch.",
    });
  }
  const { mode } = scheduleKwargs("reduce_lr_on_plateau", kwargs);
  const { metric, greaterIsBetter } = bestRule(args)!;
  if (greaterIsBetter === (mode === "max")) return;
  throw new CraftError({
    subject: "lr_scheduler_kwargs.mode",
    value: mode,
    reason: `would take ${greaterIsBetter ? "higher" : "lower"} ${metric} for worse, which greater_is_better takes for better`,
    remedy: `Set it to ${greaterIsBetter ? "max" : "min"}, or change greater_is_better.`,
  });
}

function checkBest(args: TrainingArguments): void {
  const { evalStrategy, saveStrategy, loadBestModelAtEnd, metricForBestModel, greaterIsBetter } = args;
  const needing =
    saveStrategy === "best"
      ? "save_strategy: best"
      : metricForBestModel === undefined
        ? undefined
        : "metric_for_best_model";
  if (needing !== undefined && evalStrategy === "no") {
    throw new CraftError({
      subject: "eval_strategy",
      value: evalStrategy,
      reason: `${needing} compares evaluations, and there are none`,
      remedy: "Set it to steps or epoch.",
    });
  }
  if (saveStrategy === "best" && bestRule(args) === undefined) {
    throw new CraftError({
      subject: "metric_for_best_model",
      reason: "is needed by save_strategy: best",
      remedy: "Set it, e.g. to loss.",
    });
  }
  if (greaterIsBetter !== undefined && bestRule(args) === undefined) {
    throw new CraftError({
      subject: "greater_is_better",
      value: greaterIsBetter,
      reason: "has no effect, since nothing compares evaluations",
      remedy: "Set metric_for_best_model too.",
    });
  }
  if (!loadBestModelAtEnd || saveStrategy === "best") return;
  if (evalStrategy !== saveStrategy) {
    throw new CraftError({
      subject: "load_best_model_at_end",
      value: true,
      reason: `needs a checkpoint for each evaluation, and eval_strategy is ${evalStrategy} while save_strategy is ${saveStrategy}`,
      remedy: "Make them the same, or set save_strategy to best.",
    });
  }
  if (saveStrategy !== "steps") return;
  const evalSteps = args.evalSteps ?? args.loggingSteps;
  if (isMultiple(args.saveSteps, evalSteps)) return;
  throw new CraftError({
    subject: "save_steps",
    value: args.saveSteps,
    reason: `load_best_model_at_end needs a multiple of eval_steps, which is ${evalSteps}`,
    remedy: "Checkpoints are only written where there is an evaluation to judge them by.",
  });
}

/** Shares are compared in millionths; a share and a number of steps have no common measure. */
function isMultiple(value: number, of: number): boolean {
  if (value < 1 !== of < 1) return false;
  const scale = value < 1 ? 1e6 : 1;
  return Math.round(value * scale) % Math.round(of * scale) === 0;
}
