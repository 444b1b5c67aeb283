/** @file Datasets by id on the hub, by file, folder or pattern. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { CraftError } from "../errors.js";
import { isRepoId, parseRepo, Snapshot, type HubOptions } from "../hub/index.js";
import {
  matching,
  readableFiles,
  splitsByName,
  splitsByPatterns,
  type DataFiles,
  type Splits,
} from "./data_files.js";
import { Dataset } from "./dataset.js";
import type { DatasetConfig } from "./dataset_card.js";
import { fileKind, requireFileKind } from "./file_kinds.js";
import { IterableDataset } from "./iterable.js";
import { streamRows } from "./open_file.js";
import { refuseUnknown } from "./options.js";
import type { Row } from "./source.js";
import { parseSplit, partOf, type SplitPart } from "./split_parts.js";

export interface LoadDatasetOptions extends HubOptions {
  /** `train`, `train[:1000]`, `train[10%:20%]+test`. By default the only split, or `train` where there are several. */
  readonly split?: string | undefined;
  /** The configuration, of a dataset that has several. */
  readonly name?: string | undefined;
  /** Files or patterns within the folder or repository, in the place of what it says itself. */
  readonly dataFiles?: DataFiles | undefined;
  /** Give a stream, which opens (and fetches) each file when its turn comes. Default false. */
  readonly streaming?: boolean | undefined;
}

const optionNames = [
  "split",
  "name",
  "dataFiles",
  "streaming",
  "revision",
  "cacheDir",
  "token",
  "endpoint",
  "localFilesOnly",
];

/** Files of one dataset, wherever they are. */
interface Place {
  /** What it is called in messages. */
  readonly title: string;
  readonly paths: readonly string[];
  readonly readText: (path: string) => Promise<string>;
  /** Makes a file ready to be opened. @returns where it is. */
  readonly bring: (paths: readonly string[]) => Promise<readonly string[]>;
}

/**
 * Loads rows from
 *
 * - a file: `.jsonl`, `.json`, `.csv`, `.tsv`, each also with `.gz`, or `.parquet`;
 * - several, by a pattern such as `data/*.jsonl`, read in the order of their names;
 * - a folder, or a dataset of the hub by its id (`org/name`), whose splits are told by the configurations in its README.md,
 *   or by the names of its files, as Python's `datasets` does. Only the files of the split are fetched.
 *
 * A path that exists wins over an id. Datasets that are made by a script are refused.
 *
 * @throws {@link CraftError} naming the splits or configurations there are, if another was asked for; for files that are
 * missing or broken; and for what the hub refuses.
 *
 * @example
 * const train = await loadDataset("org/name", { split: "train" });
 */
export async function loadDataset(
  source: string,
  options: LoadDatasetOptions & { readonly streaming: true },
): Promise<IterableDataset<Row>>;
export async function loadDataset(
  source: string,
  options?: LoadDatasetOptions & { readonly streaming?: false | undefined },
): Promise<Dataset>;
export async function loadDataset(
  source: string,
  options: LoadDatasetOptions = {},
): Promise<Dataset | IterableDataset<Row>> {
  refuseUnknown("loadDataset", options, optionNames);
  const { splits, place } = await findSplits(source, options);
  const parts = chosenParts(splits, options.split, place.title);
  if (options.streaming === true) return streamed(place, parts);
  const datasets: Dataset[] = [];
  for (const { part, files } of parts) {
    const opened: Dataset[] = [];
    for (const path of await place.bring(files)) opened.push(await Dataset.fromFile(path));
    datasets.push(partOf(opened.length === 1 ? opened[0]! : Dataset.concatenate(...opened), part));
  }
  return datasets.length === 1 ? datasets[0]! : Dataset.concatenate(...datasets);
}

/** Whether a text names a folder or a dataset on the hub, which have splits, and not a file or pattern. */
export function hasSplits(source: string): boolean {
  if (existsSync(source)) return statSync(source).isDirectory();
  return isRepoId(source) && fileKind(source) === undefined;
}

interface ChosenPart {
  readonly part: SplitPart;
  readonly files: readonly string[];
}

function chosenParts(splits: Splits, split: string | undefined, title: string): readonly ChosenPart[] {
  const names = [...splits.keys()];
  const asked = parseSplit(split ?? (names.length === 1 ? names[0]! : "train"));
  return asked.map((part) => {
    const files = splits.get(part.split);
    if (files === undefined)
      throw new CraftError({
        subject: "split",
        value: part.split,
        reason: `${title} has no such split; it has ${names.join(", ")}`,
      });
    const { files: readable, left } = readableFiles(files, `${title}, split ${part.split}`);
    if (left.length > 0)
      process.stderr.write(
        `note: ${title}: ${left.length} files of other formats are left out (${left[0]}, …)\n`,
      );
    return { part, files: readable };
  });
}

function streamed(place: Place, parts: readonly ChosenPart[]): IterableDataset<Row> {
  const cut = parts.find(({ part }) => part.from !== undefined || part.to !== undefined);
  if (cut !== undefined)
    throw new CraftError({
      subject: "split",
      value: `${cut.part.split}[${cut.part.from ?? ""}:${cut.part.to ?? ""}]`,
      reason: "a stream has no known length to take a part of",
      remedy: "Use take and skip, or leave streaming out",
    });
  return IterableDataset.fromGenerator(
    async function* () {
      for (const path of parts.flatMap(({ files }) => files)) {
        const [file] = await place.bring([path]);
        yield* streamRows(file!);
      }
    },
    { name: place.title },
  );
}

async function findSplits(
  source: string,
  options: LoadDatasetOptions,
): Promise<{ splits: Splits; place: Place }> {
  const { name, dataFiles } = options;
  if (existsSync(source) && !statSync(source).isDirectory()) {
    requireFileKind(source);
    refuseHubOptions(source, options);
    return { splits: new Map([["train", [source]]]), place: localFiles(source, [source]) };
  }
  if (!existsSync(source) && isPattern(source)) {
    refuseHubOptions(source, options);
    const files = globbed(source);
    if (files.length > 0) return { splits: new Map([["train", files]]), place: localFiles(source, files) };
    throw new CraftError({ subject: "dataset", value: source, reason: "no file matches this pattern" });
  }
  const place = existsSync(source) ? localFolder(source, options) : await hubDataset(source, options);
  const config = await configOf(place, name);
  const patterns = dataFiles ?? config?.dataFiles;
  const splits =
    patterns === undefined
      ? within(config?.dataDir, place.paths, splitsByName)
      : within(config?.dataDir, place.paths, (paths) => splitsByPatterns(paths, patterns, place.title));
  if (splits.size > 0) return { splits, place };
  throw new CraftError({
    subject: "dataset",
    value: source,
    reason: "has no files of rows",
    remedy: "Name them with dataFiles",
  });
}

/** What the README.md of a dataset says of its files. */
async function configOf(place: Place, name: string | undefined): Promise<DatasetConfig | undefined> {
  const { chosenConfig, datasetConfigs } = await import("./dataset_card.js");
  const configs = place.paths.includes("README.md")
    ? datasetConfigs(await place.readText("README.md"), `${place.title}, README.md`)
    : [];
  return chosenConfig(configs, name, place.title);
}

/** Splits of a folder's files only, with their whole paths. */
function within(
  folder: string | undefined,
  paths: readonly string[],
  find: (paths: readonly string[]) => Splits,
): Splits {
  if (folder === undefined) return find(paths);
  const start = `${folder.replace(/^\.\//, "").replace(/\/+$/, "")}/`;
  const inside = paths.filter((path) => path.startsWith(start)).map((path) => path.slice(start.length));
  return new Map([...find(inside)].map(([split, files]) => [split, files.map((file) => start + file)]));
}

function localFiles(title: string, paths: readonly string[]): Place {
  return {
    title,
    paths,
    readText: (path) => Promise.resolve(readFileSync(path, "utf8")),
    bring: (files) => Promise.resolve(files),
  };
}

function localFolder(folder: string, options: LoadDatasetOptions): Place {
  refuseHubOptions(folder, { ...options, name: undefined });
  return {
    title: folder,
    paths: filesBelow(folder),
    readText: (path) => Promise.resolve(readFileSync(join(folder, path), "utf8")),
    bring: (files) => Promise.resolve(files.map((file) => join(folder, file))),
  };
}

async function hubDataset(id: string, options: LoadDatasetOptions): Promise<Place> {
  if (!isRepoId(id) || fileKind(id) !== undefined)
    throw new CraftError({
      subject: "dataset",
      value: id,
      reason: "there is no such file or folder, and it is no id of the hub",
    });
  const { revision, cacheDir, token, endpoint, localFilesOnly } = options;
  const hub = { revision, cacheDir, token, endpoint, localFilesOnly };
  const snapshot = await Snapshot.open(parseRepo("dataset", id), hub);
  const { paths, read } = snapshot.contents;
  const script = `${id.split("/").at(-1)}.py`;
  if (paths.includes(script))
    throw new CraftError({
      subject: "dataset",
      value: id,
      reason: `is made by a script (${script}), and scripts are not run`,
      remedy: "The hub may have it as Parquet: try revision refs/convert/parquet",
    });
  return {
    title: `dataset ${id}`,
    paths,
    readText: read,
    bring: async (files) => {
      await snapshot.fetch(files);
      return files.map((file) => join(snapshot.folder, ...file.split("/")));
    },
  };
}

/** What only repositories have would be ignored. */
function refuseHubOptions(source: string, { revision, name }: LoadDatasetOptions): void {
  for (const [subject, value] of Object.entries({ revision, name })) {
    if (value === undefined) continue;
    throw new CraftError({
      subject,
      value,
      reason: `${source} is local, and has none`,
      remedy: "Leave it out",
    });
  }
}

const isPattern = (text: string): boolean => /[*?[]/.test(text);

/** The files that a pattern has, sorted. */
function globbed(pattern: string): string[] {
  const parts = pattern.replaceAll("\\", "/").split("/");
  const first = parts.findIndex(isPattern);
  const base = parts.slice(0, first).join("/") || (pattern.startsWith("/") ? "/" : ".");
  if (!existsSync(base)) return [];
  const rest = parts.slice(first).join("/");
  const below = rest.includes("/") || rest.includes("**") ? filesBelow(base) : filesIn(base);
  return matching(below, [rest]).map((file) => join(base, file));
}

function filesIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => statSync(join(folder, name)).isFile());
}

/** All files below a folder, seen through links, by their path from there with `/`. */
function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => existsSync(path) && statSync(path).isFile())
    .map((path) => relative(folder, path).replaceAll("\\", "/"))
    .sort();
}
