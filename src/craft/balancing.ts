/** @file How CRAFT's tasks are mixed. */
import {
  BalancedMixture,
  FixedMixture,
  GradNormBalancer,
  LossScaleBalancer,
  PCGradBalancer,
  UncertaintyBalancer,
  type AllCarried,
  type Balancer,
  type Mixture,
} from "../training/index.js";
import type { CraftArguments } from "./config.js";

type MixingArguments = Pick<
  CraftArguments,
  | "craftAlpha"
  | "craftGradientBalancing"
  | "craftGradnormAlpha"
  | "craftLossScaleMomentum"
  | "craftGradientClipPerTask"
  | "craftGradientClipValue"
>;

/** Whether anything but alpha has a say in how the tasks' gradients are mixed. */
export const balances = (
  args: Pick<CraftArguments, "craftGradientBalancing" | "craftGradientClipPerTask">,
): boolean => args.craftGradientBalancing !== "none" || args.craftGradientClipPerTask;

/**
 * The mixture that the options ask for, and what it carries from step to step.
 *
 * @param base the tasks of the base objective, with what each counts in its loss
 */
export function craftMixture(
  args: MixingArguments,
  base: Readonly<Record<string, number>>,
): {
  readonly mixture: Mixture;
  readonly carried: AllCarried;
} {
  const own = Object.entries(base).map(([task, share]) => [task, args.craftAlpha * share] as const);
  const factors = { ...Object.fromEntries(own), contrastive: 1 - args.craftAlpha };
  if (!balances(args)) return { mixture: new FixedMixture(factors), carried: {} };
  const clip = args.craftGradientClipPerTask ? args.craftGradientClipValue : undefined;
  const mixture = new BalancedMixture({ factors, balancer: balancerOf(args, Object.keys(factors)), clip });
  return { mixture, carried: { balancing: mixture } };
}

function balancerOf(args: MixingArguments, tasks: readonly string[]): Balancer | undefined {
  switch (args.craftGradientBalancing) {
    case "none":
      return undefined;
    case "loss_scale":
      return new LossScaleBalancer(tasks, args.craftLossScaleMomentum);
    case "uncertainty":
      return new UncertaintyBalancer(tasks);
    case "gradnorm":
      return new GradNormBalancer(tasks, args.craftGradnormAlpha);
    case "pcgrad":
      return new PCGradBalancer();
  }
}
