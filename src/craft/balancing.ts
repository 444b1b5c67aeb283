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
 * @param base the task of the base objective
 */
export function craftMixture(
  args: MixingArguments,
  base: string,
): {
  readonly mixture: Mixture;
  readonly carried: AllCarried;
} {
  const factors = { [base]: args.craftAlpha, contrastive: 1 - args.craftAlpha };
  if (!balances(args)) return { mixture: new FixedMixture(factors), carried: {} };
  const clip = args.craftGradientClipPerTask ? args.craftGradientClipValue : undefined;
  const mixture = new BalancedMixture({ factors, balancer: balancerOf(args, [base, "contrastive"]), clip });
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
