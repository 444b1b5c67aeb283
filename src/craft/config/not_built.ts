/** @file Options whose machinery is missing. */
import { CraftError } from "../../errors.js";
import { optionName } from "../../training/arguments.js";
import type { CraftArguments } from "./fields.js";

/** @throws {@link CraftError} for an option that the trainer cannot follow. */
export function refuseNotBuilt(args: CraftArguments, data: { readonly hardNegatives: boolean }): void {
  const refuse = (option: keyof CraftArguments): never => {
    throw new CraftError({
      subject: optionName(option),
      value: args[option],
      reason: "the trainer cannot do this yet",
      remedy: "Leave it out.",
    });
  };
  if (args.craftUseGradcache) refuse("craftUseGradcache");
  if (args.craftNegativeStrategy === "queue") refuse("craftNegativeStrategy");
  if (args.craftSelfAlignViews === "dropout") refuse("craftSelfAlignViews");
  if (!data.hardNegatives) return;
  throw new CraftError({
    subject: "contrastive_dataset",
    reason: "has hard negatives, which the trainer cannot use yet",
    remedy: "Leave out the columns of negatives.",
  });
}
