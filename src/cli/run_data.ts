/** @file The model and the datasets that a run file names: local paths first, then ids of the hub. */
import { existsSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { fileEndings, hasSplits, loadDataset, type Dataset } from "../data/index.js";
import { CraftError } from "../errors.js";
import { isRepoId } from "../hub/index.js";

/** What a run file says about datasets, beside their names. */
export interface SplitOptions {
  readonly datasetConfig?: string | undefined;
  readonly datasetTrainSplit?: string | undefined;
  readonly datasetTestSplit?: string | undefined;
}

/**
 * Paths count from where the command runs, or else from the run file's folder. What is neither there nor a file's name or
 * a pattern is taken for an id of the hub.
 */
export function locate(source: string, folder: string, option: string): string {
  const places = isAbsolute(source) ? [source] : [resolve(source), resolve(folder, source)];
  // Of a pattern only the part before it can be looked for.
  const fixed = (place: string): string => place.replace(/[^/\\]*[*?[].*$/s, "");
  const found = places.find((place) => existsSync(fixed(place)));
  if (found !== undefined) return found;
  const isFile = fileEndings.some((ending) => source.endsWith(ending) || source.endsWith(`${ending}.gz`));
  if (isRepoId(source) && !isFile) return source;
  throw new CraftError({
    subject: option,
    value: source,
    reason: `does not exist (looked at ${[...new Set(places)].join(", ")}), and is no id of the hub`,
    remedy: "Give a path, or an id such as org/name.",
  });
}

/** The rows to train on. */
export function openTrainDataset(source: string, options: SplitOptions): Promise<Dataset> {
  return loadDataset(source, { split: options.datasetTrainSplit, name: options.datasetConfig });
}

/**
 * The rows to evaluate on: those of `evalSource`, by default its split `test`; or the split `datasetTestSplit` of the
 * dataset that is trained on, if it is given.
 */
export async function openEvalDataset(
  trainSource: string,
  evalSource: string | undefined,
  options: SplitOptions,
): Promise<Dataset | undefined> {
  const { datasetTestSplit, datasetConfig } = options;
  const source = evalSource ?? (datasetTestSplit === undefined ? undefined : trainSource);
  if (source === undefined) return undefined;
  if (!hasSplits(source)) return loadDataset(source, { split: datasetTestSplit });
  const name = evalSource === undefined || evalSource === trainSource ? datasetConfig : undefined;
  return loadDataset(source, { split: datasetTestSplit ?? "test", name });
}
