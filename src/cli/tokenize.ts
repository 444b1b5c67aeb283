/** @file `craft tokenize`: shows what of a dataset would be trained, token by token. */
import { loadDataset, prepareSftDataset, type SftRowOptions } from "../data/index.js";
import { CraftError } from "../errors.js";
import { AutoTokenizer } from "../text/index.js";
import {
  choiceOption,
  integerOption,
  optionalInteger,
  optionalText,
  requiredText,
  type GivenOptions,
} from "./options.js";
import { shownRow, type ShownRow } from "./tokenize/shown_row.js";
import { rowLines } from "./tokenize/row_lines.js";

/**
 * Prints the first rows as SFT prepares them: their tokens, whose they are, and which of them carry a loss. With
 * `--json` one object: `{"rows": [{"where", "tokens": [{"id", "text", "role", "trained"}]}]}`.
 */
export async function run(options: GivenOptions): Promise<number> {
  const count = integerOption(options, "rows", 3, 1);
  const preparation = preparationOptions(options);
  const raw = await loadDataset(requiredText(options, "dataset"), {
    split: optionalText(options, "split"),
    name: optionalText(options, "datasetConfig"),
  });
  if (raw.length === 0)
    throw new CraftError({ subject: "--dataset", value: raw.name, reason: "has no rows" });
  const tokenizer = await AutoTokenizer.fromPretrained(requiredText(options, "model"));
  const wanted = raw.take(Math.min(count, raw.length));
  const { dataset } = await prepareSftDataset(wanted, tokenizer, preparation);
  const { maxLength: _maxLength, ...uncut } = preparation;
  const { lengths } = await prepareSftDataset(wanted, tokenizer, uncut);
  const rows: ShownRow[] = [];
  for (let i = 0; i < dataset.length; i++) {
    const row = await dataset.row(i);
    const cut = lengths[i]! - row.input_ids.length;
    const skipped = preparation.truncationMode === "keep_end" ? cut : 0;
    rows.push(shownRow(row, await wanted.row(i), dataset.where(i), tokenizer, skipped));
  }
  if (options["json"] === true) {
    process.stdout.write(`${JSON.stringify({ rows })}\n`);
    return 0;
  }
  const colours = process.stdout.isTTY && (process.env["NO_COLOR"] ?? "") === "";
  process.stdout.write(rows.map((row) => rowLines(row, colours)).join("\n"));
  if (raw.length > count) process.stderr.write(`${count} of ${raw.length} rows; --rows shows more\n`);
  return 0;
}

/** As `craft sft` prepares rows, where a run file says nothing else. */
function preparationOptions(options: GivenOptions): SftRowOptions {
  const maxLength = optionalInteger(options, "maxLength", 2) ?? 1024;
  const truncationMode = choiceOption(options, "truncationMode", ["keep_start", "keep_end"]);
  const completionOnly = choiceOption(options, "completionOnlyLoss", ["true", "false"]);
  const datasetTextField = optionalText(options, "textColumn");
  return {
    maxLength,
    assistantOnlyLoss: options["assistantOnlyLoss"] === true,
    ...(truncationMode !== undefined && { truncationMode }),
    ...(completionOnly !== undefined && { completionOnlyLoss: completionOnly === "true" }),
    ...(datasetTextField !== undefined && { datasetTextField }),
  };
}
