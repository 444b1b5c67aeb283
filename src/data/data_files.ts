/** @file Which of a folder's or repository's files make which split, by the rules of Python's `datasets`. */
import picomatch from "picomatch";
import { CraftError } from "../errors.js";
import { fileEndings, fileKind, type FileKind } from "./file_kinds.js";

/** Files by the name of their split, in the order in which they are read. */
export type Splits = ReadonlyMap<string, readonly string[]>;

/** Patterns as `data_files` gives them: for the split `train`, by split, or a list of `{split, path}`. */
export type DataFiles =
  | string
  | readonly string[]
  | Readonly<Record<string, string | readonly string[]>>
  | readonly { readonly split: string; readonly path: string | readonly string[] }[];

const words: readonly (readonly [split: string, words: readonly string[]])[] = [
  ["train", ["train", "training"]],
  ["validation", ["validation", "valid", "dev", "val"]],
  ["test", ["test", "testing", "eval", "evaluation"]],
];
const edge = "[-._ 0-9]";
const inFolder = (word: string): string[] => [
  `**/${word}/**`,
  `**/${word}${edge}*/**`,
  `**/*${edge}${word}/**`,
  `**/*${edge}${word}${edge}*/**`,
];
const inName = (word: string): string[] => [`**/${word}${edge}*`, `**/*${edge}${word}${edge}*`];
const sharded = /^data\/([^/]+)-[0-9]{5}-of-[0-9]{5}[^/]*\.[^/]*$/;

/** Files that describe a dataset and are none of its rows. */
const descriptions = [
  "README.md",
  "config.json",
  "dataset_info.json",
  "dataset_infos.json",
  "dummy_data.zip",
  "dataset_dict.json",
];

/**
 * The splits that the names of files tell: `data/SPLIT-00000-of-00001.*`; else folders, else file names with words such as
 * `train`, `dev` or `test` in them; else all files are `train`.
 */
export function splitsByName(paths: readonly string[]): Splits {
  const shards = paths.flatMap((path) => sharded.exec(path)?.[1] ?? []);
  const visible = (split: string): boolean =>
    matching(paths, [`data/${split}-[0-9][0-9][0-9][0-9][0-9]-of-*`]).length > 0;
  const names = new Set(shards.filter(visible));
  if (names.size > 0) {
    const known = words.map(([split]) => split).filter((split) => names.has(split));
    const others = [...names].filter((split) => !known.includes(split)).sort();
    return new Map(
      [...known, ...others].map((split) => [
        split,
        matching(paths, ["data/**"]).filter((path) => sharded.exec(path)?.[1] === split),
      ]),
    );
  }
  for (const patternsOf of [inFolder, inName]) {
    const found = words.map(([split, all]) => [split, matching(paths, all.flatMap(patternsOf))] as const);
    const splits = found.filter(([, files]) => files.length > 0);
    if (splits.length > 0) return new Map(splits);
  }
  const all = matching(paths, ["**"]);
  return new Map(all.length > 0 ? [["train", all]] : []);
}

/** @throws {@link CraftError} for a pattern that no file has. */
export function splitsByPatterns(paths: readonly string[], dataFiles: DataFiles, where: string): Splits {
  return new Map(
    patternsOf(dataFiles, where).map(([split, patterns]) => {
      const files = matching(paths, patterns);
      if (files.length > 0) return [split, files];
      throw new CraftError({
        subject: `${where}, data files of split ${split}`,
        value: patterns.join(", "),
        reason: "there is no such file",
      });
    }),
  );
}

function patternsOf(dataFiles: DataFiles, where: string): (readonly [string, readonly string[]])[] {
  const list = (value: unknown): readonly string[] => {
    const items: readonly unknown[] = Array.isArray(value) ? value : [value];
    const texts = items.filter((item) => typeof item === "string");
    if (texts.length === items.length && texts.length > 0) return texts;
    throw new CraftError({
      subject: `${where}, data_files`,
      value,
      reason: "must be a path or pattern, a list of them, or such by split",
    });
  };
  if (typeof dataFiles === "string") return [["train", [dataFiles]]];
  if (!Array.isArray(dataFiles))
    return Object.entries(dataFiles).map(([split, value]) => [split, list(value)] as const);
  const items: readonly unknown[] = dataFiles;
  if (!items.some((item) => typeof item === "object" && item !== null)) return [["train", list(items)]];
  return items.map((item) => {
    const { split, path } = (item ?? {}) as { split?: unknown; path?: unknown };
    if (typeof split === "string") return [split, list(path)] as const;
    throw new CraftError({ subject: `${where}, data_files`, value: item, reason: "needs split and path" });
  });
}

/**
 * The files that any pattern has, in the order of the patterns, each once. `*` stands for any part of a name, `**` for any
 * folders. What is hidden, and folders that begin with `__`, are left out unless a pattern names them.
 */
export function matching(paths: readonly string[], patterns: readonly string[]): string[] {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const clean = pattern.replace(/^\.\//, "");
    const isMatch = picomatch(clean, { dot: true, nobrace: true, noextglob: true, nonegate: true });
    const count = (path: string, isSpecial: (part: string) => boolean): number =>
      path.split("/").filter(isSpecial).length;
    const hidden = (part: string): boolean => /^\.(?!\.?$)/.test(part);
    const special = (part: string): boolean => part.startsWith("__");
    const folder = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
    for (const path of [...paths].sort()) {
      const name = path.split("/").at(-1)!;
      const described = descriptions.includes(name) && name !== clean.split("/").at(-1);
      if (described || !isMatch(path) || count(path, hidden) !== count(clean, hidden)) continue;
      if (count(folder(path), special) === count(folder(clean), special)) found.add(path);
    }
  }
  return [...found];
}

/** Files of one format, which the most of them have; `datasets` takes those and leaves the others. */
export interface ReadableFiles {
  readonly files: readonly string[];
  /** Files of other formats. */
  readonly left: readonly string[];
}

const families: readonly (readonly FileKind[])[] = [["parquet"], ["jsonl", "json"], ["csv", "tsv"]];

/** @throws {@link CraftError} if none of the files is of a format that is read. */
export function readableFiles(files: readonly string[], where: string): ReadableFiles {
  const of = families.map((family) => files.filter((file) => family.some((kind) => kind === fileKind(file))));
  const most = of.reduce((best, next) => (next.length > best.length ? next : best));
  if (most.length > 0) return { files: most, left: files.filter((file) => !most.includes(file)) };
  throw new CraftError({
    subject: where,
    value: files.slice(0, 3).join(", "),
    reason: `none of its files is read; those end in ${fileEndings.join(", ")}`,
    remedy: "Convert them to one of these",
  });
}
