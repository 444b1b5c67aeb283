/** @file Packed and padding-free SFT rows in a CRAFT run. */
import type { SFTArguments } from "../trainers/sft/config.js";
import { CraftError } from "../errors.js";
import type { CraftStrategy } from "./data/index.js";
import type { CraftDataOptions } from "./trainer_data.js";

/** @throws CraftError where rows that hold several texts have no meaning. */
export function checkPackedRows(
  args: Pick<SFTArguments, "packing" | "paddingFree">,
  strategy: CraftStrategy,
  given: Pick<CraftDataOptions, "craftSftLoader"> & { readonly dataCollator?: object },
): void {
  const option = args.packing ? "packing" : args.paddingFree ? "padding_free" : undefined;
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
  if (args.paddingFree && given.dataCollator !== undefined)
    throw refuse("a dataCollator is given, which pads batches", "Leave out one of both.");
}
