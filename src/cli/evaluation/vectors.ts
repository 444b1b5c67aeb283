/** @file Metrics of the vectors that a model gives texts. */
import { poolings } from "../../craft/index.js";
import type { Dataset } from "../../data/index.js";
import { CraftError } from "../../errors.js";
import { alignmentScore, embed, retrieval, uniformityScore } from "../../evaluation/index.js";
import type { CausalLM } from "../../models/index.js";
import type { Tokenizer } from "../../text/index.js";
import { choiceOption, integerOption, optionalTexts, requiredText, type GivenOptions } from "../options.js";
import { textColumn } from "./columns.js";
import { encodeTexts } from "./encode.js";
import type { Score } from "./scores.js";

export const vectorMetrics = ["retrieval", "alignment", "uniformity"] as const;
export type VectorMetric = (typeof vectorMetrics)[number];

/** Final hidden states, pooled, of one or two columns; a projection head that CRAFT trained is no part of the model. */
export async function scoreVectors(
  metrics: readonly VectorMetric[],
  dataset: Dataset,
  options: GivenOptions,
  load: () => Promise<{ readonly model: CausalLM; readonly tokenizer: Tokenizer }>,
): Promise<Score[]> {
  const pooling = choiceOption(options, "pooling", poolings) ?? "last_token";
  const batchSize = integerOption(options, "batchSize", 8, 1);
  const maxLength = integerOption(options, "maxLength", 1024, 2);
  const recallAt = optionalTexts(options, "recallAt")?.map((text) =>
    integerOption({ recallAt: text }, "recallAt", 1, 1),
  );
  const hasPairs = metrics.some((metric) => metric !== "uniformity");
  const queries = await textColumn(dataset, requiredText(options, "queryColumn"), "--query-column");
  const candidates = hasPairs
    ? await textColumn(dataset, requiredText(options, "candidateColumn"), "--candidate-column")
    : undefined;
  if (queries.length < 2)
    throw new CraftError({
      subject: "--dataset",
      value: dataset.name,
      reason: "has one row; two are needed to compare",
    });
  const { model, tokenizer } = await load();
  const vectorsOf = (texts: readonly string[]): Promise<Float32Array[]> =>
    embed(model, encodeTexts(dataset, texts, tokenizer, maxLength), { pooling, batchSize });
  const left = await vectorsOf(queries);
  const right = candidates && (await vectorsOf(candidates));
  const note = `${pooling} of ${queries.length} rows`;
  return metrics.map((metric): Score => {
    if (metric === "uniformity") return { values: { uniformity: uniformityScore(left) }, digits: 4, note };
    if (metric === "alignment")
      return { values: { alignment: alignmentScore(left, right!) }, digits: 4, note };
    // Equal texts are equally right answers.
    const { recall, meanReciprocalRank } = retrieval(left, right!, {
      names: candidates!,
      ...(recallAt !== undefined && { recallAt }),
    });
    const recalls = [...recall].map(([k, share]) => [`recall@${k}`, share] as const);
    return { values: { ...Object.fromEntries(recalls), mrr: meanReciprocalRank }, digits: 4, note };
  });
}
