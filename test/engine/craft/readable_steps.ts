/** @file Runs whose steps can be read back: the gradient of each, and what was logged of it. */
import { join } from "node:path";
import { expect } from "vitest";
import { largestDifference, need, readTensors } from "../fixtures.js";
import { mixed, norm, type Total } from "./trainer_reference.js";

/**
 * Options with which AdamW's first moment in the checkpoint of a step is the gradient of that step, and all steps have
 * the same weights.
 */
export const readableSteps = {
  numTrainEpochs: 1,
  learningRate: 0,
  adamBeta1: 0,
  maxGradNorm: 0,
  loggingSteps: 1,
  saveSteps: 1,
  disableTqdm: true,
} as const;

/** What a step is held against. */
export interface ExpectedStep {
  /** Its number, from 1. */
  readonly step: number;
  readonly alpha: number;
  /** Names the base objective in the log. */
  readonly base: string;
  /** Over the micro-batches of the step. */
  readonly totals: { readonly base: Total; readonly contrastive: Total };
}

/** Holds the gradient of a step, and its entry in the log, against alpha * base + (1 - alpha) * contrastive. */
export function expectStep(
  outputDir: string,
  entry: Readonly<Record<string, number>>,
  { step, alpha, base: name, totals: { base, contrastive } }: ExpectedStep,
): void {
  const expected = mixed([
    [alpha, base],
    [1 - alpha, contrastive],
  ]);
  const moments = readTensors(join(outputDir, `checkpoint-${step}`, "optimizer.safetensors"));
  const size = norm(expected);
  for (const [parameter, values] of expected) {
    const found = need(moments, `exp_avg.${parameter}`).values;
    expect(largestDifference(found, values), `${parameter}, step ${step}`).toBeLessThanOrEqual(2e-6 * size);
  }
  const means = [base.sum / base.weight, contrastive.sum / contrastive.weight] as const;
  const logged = {
    loss: alpha * means[0] + (1 - alpha) * means[1],
    "loss/craft_total": alpha * means[0] + (1 - alpha) * means[1],
    [`loss/craft_${name}`]: means[0],
    "loss/craft_contrast": means[1],
    grad_norm: size,
    [`grad_norm/${name}`]: norm(mixed([[1, base]])),
    "grad_norm/contrastive": norm(mixed([[1, contrastive]])),
    learning_rate: 0,
  };
  for (const [key, value] of Object.entries(logged))
    expect(Math.abs(entry[key]! - value), `${key}, step ${step}`).toBeLessThanOrEqual(
      5e-6 * Math.max(1, value),
    );
}
