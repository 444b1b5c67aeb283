/** @file The reference's log-probabilities of all answers, computed once and kept on disk. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Dataset } from "../../data/dataset.js";
import type { PreferenceCollator, PreferenceBatch } from "../../data/preference_collator.js";
import type { PreferenceRow } from "../../data/preference_rows.js";
import { makeFolder, writeFileAtomically } from "../../models/atomic_file.js";
import { compile, mul, type Tensor } from "../../tensor/index.js";
import { cacheDirectory } from "../../torch/cache_dir.js";
import type { TracedFeeds } from "../../training/objective.js";
import { hiddenAt, perText, predictionsOf } from "../preference/feeds.js";
import type { Reference } from "../preference/reference.js";
import type { PreparedPreferences } from "../preference/trainer.js";
import type { DPOObjective } from "./objective.js";

/** Sums over the tokens of each answer. */
interface KnownLogProbs {
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
}

export interface PrecomputeOptions {
  readonly reference: Reference;
  /** Gives the feeds of batches. */
  readonly objective: DPOObjective;
  readonly collator: PreferenceCollator;
  readonly batchSize: number;
  /** What else the numbers depend on. */
  readonly ldAlpha: number | undefined;
  readonly notice: (text: string) => void;
}

/**
 * Rows with the reference's log-probabilities in their columns. Those that rows bring along are taken; else they are read
 * from the cache folder, under a hash of the reference's weights and of all tokens, or computed and written there.
 */
export async function withReferenceLogProbs(
  rows: PreparedPreferences,
  options: PrecomputeOptions,
): Promise<PreparedPreferences> {
  const { dataset } = rows;
  const first = await dataset.row(0);
  if (first.ref_chosen_logps !== undefined && first.ref_rejected_logps !== undefined) return rows;
  const folder = join(cacheDirectory(), "ref_log_probs");
  const file = join(folder, `${await fingerprint(dataset, options)}.json`);
  const known = readKnown(file, dataset.length);
  const found = known ?? (await compute(dataset, options));
  if (known === undefined) {
    makeFolder(folder);
    writeFileAtomically(file, `${JSON.stringify(found)}\n`);
  } else options.notice(`the reference's log-probabilities of ${dataset.length} rows are read from ${file}`);
  return {
    ...rows,
    dataset: new Dataset({
      name: dataset.name,
      length: dataset.length,
      where: (index) => dataset.where(index),
      read: async (index) => ({
        ...(await dataset.row(index)),
        ref_chosen_logps: found.chosen[index]!,
        ref_rejected_logps: found.rejected[index]!,
      }),
      close: () => dataset.close(),
    }),
  };
}

async function compute(
  dataset: Dataset<PreferenceRow>,
  { reference, objective, collator, batchSize }: PrecomputeOptions,
): Promise<KnownLogProbs> {
  const run = compile(
    (feeds: TracedFeeds): Tensor =>
      reference.under((model) => {
        const { answerIndex, answerTarget, answerOwner, answerWeight, lengths } = feeds;
        const { shares = answerWeight! } = feeds;
        const { logProbs } = predictionsOf(model, hiddenAt(model, feeds, answerIndex!), answerTarget!);
        return perText(mul(logProbs, shares), answerOwner!, lengths!.numel);
      }),
    { cacheSize: 64 },
  );
  const [chosen, rejected]: [number[], number[]] = [[], []];
  try {
    for (let from = 0; from < dataset.length; from += batchSize) {
      const rows: PreferenceRow[] = [];
      for (let i = from; i < Math.min(from + batchSize, dataset.length); i++) rows.push(await dataset.row(i));
      const batch: PreferenceBatch = collator.collate(rows);
      using totals = await run(objective.feeds(batch));
      const numbers = totals.toNumbers();
      chosen.push(...numbers.slice(0, rows.length));
      rejected.push(...numbers.slice(rows.length));
    }
  } finally {
    run.dispose();
  }
  return { chosen, rejected };
}

/** Of the tokens of all rows, of the weights that the reference has, and of what is computed. */
async function fingerprint(
  dataset: Dataset<PreferenceRow>,
  { reference, ldAlpha }: PrecomputeOptions,
): Promise<string> {
  const hash = createHash("sha256");
  const { model } = reference;
  hash.update(
    JSON.stringify(["ref_log_probs 1", model.modelType, model.dtype, model.configJson, ldAlpha ?? 1]),
  );
  for (const [name, { value }] of reference.weights()) {
    hash.update(JSON.stringify([name, value.dtype, value.shape]));
    hash.update(value.bytes());
  }
  for (let i = 0; i < dataset.length; i++) {
    const { prompt_ids: prompt, chosen_ids: chosen, rejected_ids: rejected } = await dataset.row(i);
    for (const ids of [prompt, chosen, rejected]) {
      hash.update(`${ids.length}:`);
      hash.update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));
    }
  }
  return hash.digest("hex");
}

/** What a file says, if it is one of this many rows. */
function readKnown(file: string, rows: number): KnownLogProbs | undefined {
  if (!existsSync(file)) return undefined;
  const value = JSON.parse(readFileSync(file, "utf8")) as Partial<KnownLogProbs>;
  const whole = (list: readonly number[] | undefined): list is readonly number[] =>
    list?.length === rows && list.every((number) => Number.isFinite(number));
  const { chosen, rejected } = value;
  return whole(chosen) && whole(rejected) ? { chosen, rejected } : undefined;
}
