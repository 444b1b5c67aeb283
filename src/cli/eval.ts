/** @file `craft eval`: scores a model on a dataset. */
import { Dataset } from "../data/index.js";
import { requireOneOf } from "../data/options.js";
import { missingColumn } from "../data/tokens.js";
import { CraftError } from "../errors.js";
import { evaluateLoss } from "../evaluation/index.js";
import type { Tokenizer } from "../text/index.js";
import { loadModel } from "./load_model.js";
import { integerOption, optionalText, requiredText, type GivenOptions } from "./options.js";

/** Prints the loss, with `--json` as `{"loss", "tokens"}`. */
export async function run(options: GivenOptions): Promise<number> {
  requireOneOf("--metric", optionalText(options, "metric") ?? "loss", ["loss"]);
  const column = optionalText(options, "textColumn") ?? "text";
  const maxLength = integerOption(options, "maxLength", 1024, 2);
  const batchSize = integerOption(options, "batchSize", 8, 1);
  const dataset = await Dataset.fromFile(requiredText(options, "dataset"));
  const texts = await readTexts(dataset, column);
  const { model, tokenizer } = await loadModel(options);
  const rows = encodeTexts(dataset, texts, tokenizer, maxLength);
  noteRows(rows, model.shape.maxLength);
  const { loss, tokens } = await evaluateLoss(model, rows, { batchSize });
  process.stdout.write(
    options["json"] === true
      ? `${JSON.stringify({ loss, tokens })}\n`
      : `loss ${loss.toFixed(6)} (perplexity ${Math.exp(loss).toFixed(3)}) over ${tokens} tokens\n`,
  );
  return 0;
}

async function readTexts(dataset: Dataset, column: string): Promise<string[]> {
  if (dataset.length === 0)
    throw new CraftError({ subject: "--dataset", value: dataset.name, reason: "has no rows" });
  const texts: string[] = [];
  for await (const row of dataset) {
    const where = dataset.where(texts.length);
    const text = row[column];
    if (!(column in row))
      throw missingColumn(row, [column], where, "Name the column of text with --text-column.");
    if (typeof text !== "string" || text === "")
      throw new CraftError({
        subject: `${where}, column "${column}"`,
        value: text,
        reason: text === "" ? "is empty" : "is no text",
        remedy: "Mend the row or take it out.",
      });
    texts.push(text);
  }
  return texts;
}

function encodeTexts(
  dataset: Dataset,
  texts: readonly string[],
  tokenizer: Tokenizer,
  maxLength: number,
): number[][] {
  return texts.map((text, i) => {
    const ids = tokenizer.encode(text).slice(0, maxLength);
    if (ids.length > 0) return ids;
    throw new CraftError({ subject: dataset.where(i), value: text, reason: "gives no token" });
  });
}

/** Tells what is odd about some rows without being wrong. */
function noteRows(rows: readonly (readonly number[])[], trainedLength: number): void {
  const single = rows.filter((row) => row.length === 1).length;
  const long = rows.filter((row) => row.length > trainedLength).length;
  const note = (count: number, text: string): void => {
    if (count > 0) process.stderr.write(`note: ${count} of ${rows.length} rows ${text}\n`);
  };
  note(single, "have one token only and predict nothing");
  note(long, `are longer than the ${trainedLength} positions that the model was trained for`);
}
