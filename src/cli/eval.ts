/** @file `craft eval`: scores a model on a dataset. */
import { loadDataset, type Dataset } from "../data/index.js";
import { requireOneOf } from "../data/options.js";
import { CraftError } from "../errors.js";
import { evaluateLoss } from "../evaluation/index.js";
import type { CausalLM } from "../models/index.js";
import type { Tokenizer } from "../text/index.js";
import { textColumn } from "./evaluation/columns.js";
import { encodeTexts } from "./evaluation/encode.js";
import { scoreJson, scoreLines, type Score } from "./evaluation/scores.js";
import { scoreTexts, textMetrics } from "./evaluation/texts.js";
import { scoreVectors, vectorMetrics } from "./evaluation/vectors.js";
import { loadModel } from "./load_model.js";
import { integerOption, optionalText, requiredText, type GivenOptions } from "./options.js";

const lossMetrics = ["loss", "perplexity"] as const;
const metrics = [...lossMetrics, ...textMetrics, ...vectorMetrics] as const;

/** Prints the scores, with `--json` as one object of them. */
export async function run(options: GivenOptions): Promise<number> {
  const names = (optionalText(options, "metric") ?? "loss").split(",");
  const asked = new Set(names.map((name) => requireOneOf("--metric", name.trim(), metrics)));
  const maxLength = integerOption(options, "maxLength", 1024, 2);
  const batchSize = integerOption(options, "batchSize", 8, 1);
  const dataset = await loadDataset(requiredText(options, "dataset"), {
    split: optionalText(options, "split"),
    name: optionalText(options, "datasetConfig"),
  });
  let loaded: ReturnType<typeof loadModel> | undefined;
  const load = (): ReturnType<typeof loadModel> => (loaded ??= loadModel(options));

  const ofLoss = lossMetrics.filter((name) => asked.has(name));
  const ofTexts = textMetrics.filter((name) => asked.has(name));
  const ofVectors = vectorMetrics.filter((name) => asked.has(name));
  const scores: Score[] = [];
  if (ofLoss.length > 0) scores.push(await scoreLoss(dataset, options, { maxLength, batchSize }, load));
  if (ofTexts.length > 0) scores.push(...(await scoreTexts(ofTexts, dataset, options, load)));
  if (ofVectors.length > 0) scores.push(...(await scoreVectors(ofVectors, dataset, options, load)));
  process.stdout.write(options["json"] === true ? scoreJson(scores) : scoreLines(scores));
  return 0;
}

async function scoreLoss(
  dataset: Dataset,
  options: GivenOptions,
  { maxLength, batchSize }: { readonly maxLength: number; readonly batchSize: number },
  load: () => Promise<{ readonly model: CausalLM; readonly tokenizer: Tokenizer }>,
): Promise<Score> {
  const column = optionalText(options, "textColumn") ?? "text";
  const texts = await textColumn(dataset, column, "--text-column");
  const { model, tokenizer } = await load();
  const rows = encodeTexts(dataset, texts, tokenizer, maxLength);
  noteRows(rows, model.shape.maxLength);
  const { loss, perplexity, tokens } = await evaluateLoss(model, rows, { batchSize });
  if (!Number.isFinite(loss))
    throw new CraftError({
      subject: "loss",
      value: String(loss),
      reason: "is no finite number",
      remedy: "Check the weights, or use a wider --dtype.",
    });
  return { values: { loss, perplexity, tokens }, digits: 6 };
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
