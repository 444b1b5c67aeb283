/** @file Packed and padding-free SFT rows in a CRAFT run. */
import { CraftError } from "../errors.js";
import type { CraftedArguments } from "./config.js";
import type { CraftStrategy } from "./data/index.js";
import type { CraftDataOptions } from "./trainer_data.js";

/** @throws CraftError where rows that hold several texts have no meaning. */
export function checkPackedRows(
  args: Pick<CraftedArguments, "packing" | "paddingFree">,
  strategy: CraftStrategy,
  given: Pick<CraftDataOptions<unknown>, "craftSftLoader" | "craftCollator">,
): void {
  const option = args.packing === true ? "packing" : args.paddingFree === true ? "padding_free" : undefined;
  if (option === undefined) return;
  const refuse = (reason: string, remedy: string): CraftError =>
    new CraftError({ subject: option, value: true, reason, remedy });
  if (strategy === "self_align")
    throw refuse(
      "self_align makes a pair of each row, and would take rows that share one for a single text",
      "Leave it out, or give pairs of their own.",
    );
  if (given.craftSftLoader !== undefined)
    throw refuse("craftSftLoader makes the batches, which are not packed again", "Leave out one of both.");
  if (args.paddingFree === true && given.craftCollator !== undefined)
    throw refuse("a dataCollator is given, which pads batches", "Leave out one of both.");
}
