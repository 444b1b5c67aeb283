/** @file Metrics of texts that a model makes: BLEU, chrF, ROUGE. */
import type { Dataset } from "../../data/index.js";
import { CraftError } from "../../errors.js";
import {
  bleuSmoothings,
  bleuTokenizers,
  corpusBleu,
  corpusChrf,
  corpusRouge,
  rougeKinds,
} from "../../evaluation/index.js";
import { generate } from "../../generation/index.js";
import { writeFileAtomically } from "../../models/atomic_file.js";
import type { CausalLM } from "../../models/index.js";
import type { ChatMessage, Tokenizer } from "../../text/index.js";
import { generationOptions, refuseFlags } from "../generation_flags.js";
import {
  choiceOption,
  optionalNumber,
  optionalText,
  optionalTexts,
  requiredText,
  type GivenOptions,
} from "../options.js";
import { promptColumn, referenceColumns, textColumn } from "./columns.js";
import type { Score } from "./scores.js";

export const textMetrics = ["bleu", "chrf", "chrf++", ...rougeKinds] as const;
export type TextMetric = (typeof textMetrics)[number];

type Loaded = { readonly model: CausalLM; readonly tokenizer: Tokenizer };

/** Scores texts of a column, or makes them from prompts first. */
export async function scoreTexts(
  metrics: readonly TextMetric[],
  dataset: Dataset,
  options: GivenOptions,
  load: () => Promise<Loaded>,
): Promise<Score[]> {
  const columns = optionalTexts(options, "referenceColumn");
  if (columns === undefined) requiredText(options, "referenceColumn");
  const scorers = metrics.map((metric) => scorerOf(metric, options));
  const references = await referenceColumns(dataset, columns!);
  const predictions = await predict(dataset, options, load);
  const file = optionalText(options, "predictions");
  if (file !== undefined)
    writeFileAtomically(
      file,
      predictions
        .map((prediction, i) => `${JSON.stringify({ prediction, references: references[i] })}\n`)
        .join(""),
    );
  return scorers.map((score) => score(predictions, references));
}

async function predict(
  dataset: Dataset,
  options: GivenOptions,
  load: () => Promise<Loaded>,
): Promise<string[]> {
  const given = optionalText(options, "predictionColumn");
  if (given !== undefined) {
    refuseFlags(options, ["promptColumn", "chat", "predictions"], "has no effect beside --prediction-column");
    return textColumn(dataset, given, "--prediction-column", true);
  }
  const prompts = await promptColumn(dataset, requiredText(options, "promptColumn"));
  const settings = generationOptions(options);
  const { model, tokenizer } = await load();
  const inputIds = prompts.map((prompt, i) => encode(prompt, options, tokenizer, dataset.where(i)));
  const { sequences, stopped } = await generate(model, {
    ...settings,
    inputIds,
    tokenizer,
    maxNewTokens: settings.maxNewTokens ?? model.generationConfig?.maxNewTokens ?? 64,
  });
  const long = stopped.filter((reason) => reason === "length").length;
  if (long > 0)
    process.stderr.write(`note: ${long} of ${stopped.length} texts were cut at the most new tokens\n`);
  return sequences.map((ids, i) => {
    const text = tokenizer.decode(ids, { skipSpecialTokens: true });
    const ends = (stopped[i] === "stop" ? (settings.stopStrings ?? []) : []).map((stop) =>
      text.indexOf(stop),
    );
    const end = Math.min(...ends.filter((at) => at >= 0));
    return (Number.isFinite(end) ? text.slice(0, end) : text).trim();
  });
}

function encode(
  prompt: string | readonly ChatMessage[],
  options: GivenOptions,
  tokenizer: Tokenizer,
  where: string,
): number[] {
  const isText = typeof prompt === "string";
  if (isText && options["chat"] !== true) {
    const ids = tokenizer.encode(prompt);
    if (ids.length > 0) return ids;
    throw new CraftError({ subject: where, value: prompt, reason: "gives no token" });
  }
  const messages = isText ? [{ role: "user", content: prompt }] : prompt;
  return tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
}

type Scorer = (predictions: readonly string[], references: readonly (readonly string[])[]) => Score;

function scorerOf(metric: TextMetric, options: GivenOptions): Scorer {
  const lowercase = options["lowercase"] === true;
  if (metric === "bleu") {
    const tokenize = choiceOption(options, "tokenize", bleuTokenizers);
    const smooth = choiceOption(options, "smooth", bleuSmoothings);
    const smoothValue = optionalNumber(options, "smoothValue", 0);
    return (predictions, references) => {
      const { score, signature } = corpusBleu(predictions, references, {
        lowercase,
        ...(tokenize !== undefined && { tokenize }),
        ...(smooth !== undefined && { smooth }),
        ...(smoothValue !== undefined && { smoothValue }),
      });
      return { values: { bleu: score }, digits: 2, signature };
    };
  }
  if (metric === "chrf" || metric === "chrf++")
    return (predictions, references) => {
      const wordOrder = metric === "chrf" ? 0 : 2;
      const { score, signature } = corpusChrf(predictions, references, { lowercase, wordOrder });
      return { values: { [metric]: score }, digits: 2, signature };
    };
  return (predictions, references) => {
    const { f1 } = corpusRouge(predictions, references, metric);
    return { values: { [metric]: f1 }, digits: 4 };
  };
}
