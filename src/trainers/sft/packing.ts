/** @file Packing in an SFT run: which options go together, and what is told of it. */
import { packDataset, type PackingStrategy } from "../../data/packing.js";
import type { Prepared } from "../../data/prepared.js";
import type { PreparedRow } from "../../data/tokenised_rows.js";
import { CraftError } from "../../errors.js";

/** The options that packing depends on. */
export interface PackingArguments {
  readonly packing: boolean;
  readonly packingStrategy: PackingStrategy;
  readonly evalPacking?: boolean | undefined;
  readonly maxLength: number;
  readonly truncationMode: "keep_start" | "keep_end";
}

/** Whether evaluation rows are packed. */
export const packsEvaluation = (args: Pick<PackingArguments, "packing" | "evalPacking">): boolean =>
  args.evalPacking ?? args.packing;

/** Whether rows are cut to their length before they are packed; other strategies split them. */
export const cutsRows = (args: Pick<PackingArguments, "packingStrategy">, packing: boolean): boolean =>
  !packing || args.packingStrategy === "bfd";

/** @throws CraftError for an option that does nothing beside the others. */
export function checkPacking(args: PackingArguments): void {
  const { packing, packingStrategy, truncationMode } = args;
  const never = !packing && !packsEvaluation(args);
  if (never && packingStrategy !== "bfd")
    throw idle("packing_strategy", packingStrategy, "neither packing nor eval_packing is set");
  const always = packing && packsEvaluation(args);
  if (always && truncationMode === "keep_end" && !cutsRows(args, true))
    throw idle(
      "truncation_mode",
      truncationMode,
      `packing_strategy ${packingStrategy} splits long rows and cuts none`,
    );
}

const idle = (subject: string, value: unknown, otherwise: string): CraftError =>
  new CraftError({
    subject,
    value,
    reason: `has no effect: ${otherwise}`,
    remedy: "Leave it out, or change the other option.",
  });

/** Packs rows, and says in a sentence what came of it. */
export async function packRows(
  prepared: Prepared<PreparedRow>,
  { maxLength, packingStrategy: strategy }: PackingArguments,
  notice: (text: string) => void,
): Promise<Prepared<PreparedRow>> {
  const { unsupervised, ...packed } = await packDataset(prepared, { maxLength, strategy });
  const { dataset, lengths } = packed;
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const filled = Math.round((100 * tokens) / (maxLength * lengths.length));
  notice(
    `${prepared.lengths.length} rows are packed into ${dataset.length} of up to ${maxLength} tokens, ${filled} % full`,
  );
  if (unsupervised > 0)
    notice(
      `${unsupervised} packed ${unsupervised === 1 ? "row was" : "rows were"} left out for having no token to predict`,
    );
  return packed;
}
