/** @file How many SFT and how many contrastive batches each optimiser step takes. Pure arithmetic. */
import { CraftError } from "../../errors.js";
import { requireOneOf } from "../../data/options.js";
import { requireSteps } from "../../data/windows.js";

export const betaModes = ["fixed", "auto"] as const;
export const lengthStrategies = ["oversample", "cap", "auto_beta", "error"] as const;
export type BetaMode = (typeof betaModes)[number];
export type LengthStrategy = (typeof lengthStrategies)[number];

export interface MixingOptions {
  /** Batches in one pass over the SFT data. */
  readonly sftBatches: number;
  /** Batches in one pass over the contrastive data. */
  readonly contrastiveBatches: number;
  readonly gradientAccumulationSteps: number;
  /** The share of a window's micro-batches that are SFT, from 0 to 1. */
  readonly beta: number;
  /** "auto" takes beta from the two numbers of batches. Default "fixed". */
  readonly betaMode?: BetaMode;
  /** What happens when the two kinds of data do not end together. Default "oversample". */
  readonly lengthStrategy?: LengthStrategy;
  /** What messages call the batches of the base objective. Default "SFT". */
  readonly base?: string;
}

/** A task as messages call it. */
export const shownTask = (task: string): string => (task === "sft" ? "SFT" : task);

/** Numbers of micro-batches of each kind. */
export interface Share {
  readonly sft: number;
  readonly contrastive: number;
}

/** The plan of every epoch. */
export interface MixingSchedule {
  /** The share that was asked for, or that the numbers of batches give. */
  readonly beta: number;
  /** Windows, that is optimiser steps, in an epoch. */
  readonly windows: number;
  /** Micro-batches that an epoch takes. */
  readonly epoch: Share;
  /** Micro-batches that the windows before window `index` of an epoch take, 0 <= index <= windows. */
  readonly before: (index: number) => Share;
  /**
   * Whether an epoch begins the contrastive data anew ("cap"), or goes on where the last epoch stopped, so that every
   * pair is seen before one is seen again.
   */
  readonly restarts: boolean;
  /** What the user should know about: settings that act otherwise than they read, and data that is left out. */
  readonly notices: readonly string[];
}

/**
 * Divides a window by beta: `round(beta * steps)` SFT micro-batches, halves to even, the others contrastive, and at
 * least one of each kind when 0 < beta < 1; so a single step runs one of each.
 */
export function splitWindow(beta: number, gradientAccumulationSteps: number): Share {
  requireSteps(gradientAccumulationSteps);
  requireBeta(beta);
  if (beta === 0 || beta === 1) {
    return { sft: beta * gradientAccumulationSteps, contrastive: (1 - beta) * gradientAccumulationSteps };
  }
  if (gradientAccumulationSteps === 1) return { sft: 1, contrastive: 1 };
  const rounded = roundHalfToEven(beta * gradientAccumulationSteps);
  const sft = Math.min(Math.max(rounded, 1), gradientAccumulationSteps - 1);
  return { sft, contrastive: gradientAccumulationSteps - sft };
}

/**
 * Plans an epoch.
 *
 * An epoch visits each SFT batch once, except under "cap".
 * - "oversample": contrastive batches come as the windows need them. If there are too few, the contrastive data is
 *   gone through again in a new order; if there are too many, the next epoch goes on with the others, so that it is
 *   the SFT data that is gone through again.
 * - "cap": the epoch stops when either kind ends.
 * - "auto_beta", or betaMode "auto": beta is sftBatches / (sftBatches + contrastiveBatches), and both kinds are spread
 *   evenly over the windows so that they end together, as far as one of each kind in every window allows.
 * - "error": the numbers of batches must be equal; then as "oversample".
 *
 * @throws {@link CraftError} for options out of range, and under "error" if the numbers of batches differ.
 */
export function mixingSchedule(options: MixingOptions): MixingSchedule {
  const { sftBatches, contrastiveBatches, beta, gradientAccumulationSteps: steps, base = "SFT" } = options;
  const strategy = requireOneOf("lengthStrategy", options.lengthStrategy ?? "oversample", lengthStrategies);
  const mode = requireOneOf("betaMode", options.betaMode ?? "fixed", betaModes);
  requireSteps(steps);
  requireBeta(beta);
  if (strategy === "error" && sftBatches !== contrastiveBatches) {
    throw new CraftError({
      subject: "lengthStrategy",
      value: strategy,
      reason: `there are ${sftBatches} ${base} batches and ${contrastiveBatches} contrastive batches`,
      remedy: 'Make them equal, or choose "oversample", "cap" or "auto_beta"',
    });
  }
  const auto = mode === "auto" || strategy === "auto_beta";
  const plan = auto
    ? evenPlan(sftBatches, contrastiveBatches, steps, base)
    : fixedPlan(options, strategy === "cap");
  const capped = strategy === "cap" && auto ? cut(plan, contrastiveBatches) : plan;
  const epoch = capped.before(capped.windows);
  const notices = [...plan.notices];
  if (strategy === "cap") {
    if (epoch.sft < sftBatches) notices.push(leftOut(base, sftBatches - epoch.sft, sftBatches));
    if (epoch.contrastive < contrastiveBatches) {
      notices.push(leftOut("contrastive", contrastiveBatches - epoch.contrastive, contrastiveBatches));
    }
  } else if (auto && epoch.contrastive !== contrastiveBatches) {
    notices.push(
      `${base} and contrastive batches cannot end together: every step takes at least one of each kind of its ` +
        `${Math.max(steps, 2)}, so an epoch takes ${epoch.sft} ${base} and ${epoch.contrastive} contrastive batches of ` +
        `${sftBatches} and ${contrastiveBatches}`,
    );
  }
  return {
    beta: auto ? sftBatches / (sftBatches + contrastiveBatches) : beta,
    windows: capped.windows,
    epoch,
    before: capped.before,
    restarts: strategy === "cap",
    notices,
  };
}

interface Plan {
  readonly windows: number;
  readonly before: (index: number) => Share;
  readonly notices: readonly string[];
}

/** Windows of one shape; the last one takes what is left of the kind that ends the epoch and its share of the other. */
function fixedPlan(options: MixingOptions, cap: boolean): Plan {
  const { sftBatches, contrastiveBatches, beta, gradientAccumulationSteps: steps, base = "SFT" } = options;
  const shape = splitWindow(beta, steps);
  const sftWindows = Math.ceil(sftBatches / shape.sft);
  const contrastiveWindows = Math.ceil(contrastiveBatches / shape.contrastive);
  const both = cap && beta > 0 && beta < 1;
  const windows = both
    ? Math.min(sftWindows, contrastiveWindows)
    : beta === 0
      ? contrastiveWindows
      : sftWindows;
  const available = cap || beta === 0 ? contrastiveBatches : Infinity;
  let sft = Math.min(shape.sft, sftBatches - (windows - 1) * shape.sft);
  let contrastive = Math.min(shape.contrastive, available - (windows - 1) * shape.contrastive);
  if (sft < shape.sft && contrastive === shape.contrastive) {
    contrastive = portion(sft, shape.contrastive, shape.sft);
  } else if (contrastive < shape.contrastive && sft === shape.sft) {
    sft = portion(contrastive, shape.sft, shape.contrastive);
  }
  const total: Share = {
    sft: (windows - 1) * shape.sft + sft,
    contrastive: (windows - 1) * shape.contrastive + contrastive,
  };
  return {
    windows,
    before: (index) => ({
      sft: Math.min(index * shape.sft, total.sft),
      contrastive: Math.min(index * shape.contrastive, total.contrastive),
    }),
    notices: shapeNotices(beta, steps, shape, base),
  };
}

/** `of` shrunk as `part` is of `whole`, but not to nothing. */
function portion(part: number, of: number, whole: number): number {
  return of === 0 ? 0 : Math.max(1, roundHalfToEven((part * of) / whole));
}

/**
 * Windows that take all SFT batches and as near to all contrastive batches as one of each kind in every window allows,
 * each kind spread evenly.
 */
function evenPlan(sftBatches: number, contrastiveBatches: number, steps: number, base: string): Plan {
  const size = Math.max(steps, 2);
  const fewest = Math.ceil(sftBatches / (size - 1));
  const windows = clamp(Math.ceil((sftBatches + contrastiveBatches) / size), fewest, sftBatches);
  const contrastive = clamp(contrastiveBatches, windows, windows * size - sftBatches);
  const notices = steps === 1 ? shapeNotices(0.5, 1, { sft: 1, contrastive: 1 }, base) : [];
  return { windows, before: spread({ sft: sftBatches, contrastive }, windows), notices };
}

/**
 * Deals two totals out over windows so that every window gets the floor or the ceiling of each average, and no window
 * more than the ceiling of both averages together.
 */
function spread(total: Share, windows: number): (index: number) => Share {
  const sft = Math.floor(total.sft / windows);
  const contrastive = Math.floor(total.contrastive / windows);
  const sftExtras = total.sft - sft * windows;
  const contrastiveExtras = total.contrastive - contrastive * windows;
  const extras = sftExtras + contrastiveExtras;
  return (index) => {
    // Few extras go to different windows; with more extras than windows, some windows take one of each kind.
    const apart = extras <= windows;
    const dealt = apart ? Math.floor((index * extras) / windows) : 0;
    const sftDealt = Math.floor(
      apart ? (dealt * sftExtras) / Math.max(1, extras) : (index * sftExtras) / windows,
    );
    const contrastiveDealt = apart ? dealt - sftDealt : Math.floor((index * contrastiveExtras) / windows);
    return { sft: index * sft + sftDealt, contrastive: index * contrastive + contrastiveDealt };
  };
}

/** A plan that ends with the window in which the contrastive batches end. */
function cut(plan: Plan, contrastiveBatches: number): Plan {
  let windows = plan.windows;
  while (plan.before(windows).contrastive > contrastiveBatches) windows -= 1;
  return { ...plan, windows };
}

function shapeNotices(beta: number, steps: number, shape: Share, base: string): string[] {
  if (beta === 0 || beta === 1) return [];
  if (steps === 1) {
    return [
      `gradientAccumulationSteps = 1: every step runs one ${base} and one contrastive micro-batch, whatever beta is`,
    ];
  }
  if (Math.abs(shape.sft - beta * steps) <= 0.5) return [];
  return [
    `beta = ${beta} with ${steps} micro-batches a step acts as ${shape.sft / steps}: every step has at least one of each kind`,
  ];
}

function leftOut(kind: string, count: number, of: number): string {
  return `lengthStrategy = cap: each epoch leaves out ${count} of ${of} ${kind} batches`;
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(value, high));
}

/** Rounds to the nearest integer, and halves to the even one, as Python's round does. */
export function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function requireBeta(beta: number): void {
  if (beta >= 0 && beta <= 1) return;
  throw new CraftError({ subject: "beta", value: beta, reason: "must be a number from 0 to 1" });
}
