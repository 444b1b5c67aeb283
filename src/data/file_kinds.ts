/** @file Which format a file of rows has, by its name. */
import { CraftError } from "../errors.js";

export type FileKind = "jsonl" | "json" | "csv" | "tsv" | "parquet";

const kinds: Readonly<Record<string, FileKind>> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "json",
  csv: "csv",
  tsv: "tsv",
  parquet: "parquet",
};

/** The endings that are read; those of texts may be followed by `.gz`. */
export const fileEndings: readonly string[] = Object.keys(kinds).map((ending) => `.${ending}`);

/** The format of a file; undefined if its ending is not known. */
export function fileKind(path: string): FileKind | undefined {
  const ending = /\.([a-z]+)(\.gz)?$/.exec(path.toLowerCase());
  const kind = kinds[ending?.[1] ?? ""];
  return kind === "parquet" && ending?.[2] !== undefined ? undefined : kind;
}

/** @throws {@link CraftError} naming the endings that are read. */
export function requireFileKind(path: string): FileKind {
  const kind = fileKind(path);
  if (kind !== undefined) return kind;
  const ending = /(\.[^./\\]*)?\.[^./\\]*$/.exec(path)?.[0] ?? "";
  throw new CraftError({
    subject: path,
    reason:
      ending === "" ? "files without an ending are not read" : `files ending in "${ending}" are not read`,
    remedy: `Give a ${fileEndings.slice(0, -1).join(", ")} or ${fileEndings.at(-1)} file; texts may be compressed, with .gz behind`,
  });
}
