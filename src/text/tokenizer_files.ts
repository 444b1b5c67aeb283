/** @file Reading the files of a tokenizer from a model folder. */

import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { CraftError } from "../errors.js";

/** The files that belong to a tokenizer; only the first is needed to run it, all are kept to be saved again. */
const knownFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "tokenizer.model",
  "vocab.json",
  "merges.txt",
] as const;
const extraTemplates = "additional_chat_templates";

/** The bytes of each file that is there, by its name relative to the folder. */
export type TokenizerFiles = ReadonlyMap<string, Uint8Array>;

/** @throws CraftError if the folder is missing or holds no tokenizer.json */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const present = await listFolder(folder);
  const names: string[] = knownFiles.filter((name) => present.includes(name));
  if (!names.includes("tokenizer.json")) throw noTokenizer(folder, names);
  if (present.includes(extraTemplates)) {
    const templates = await readdir(path.join(folder, extraTemplates));
    names.push(
      ...templates.filter((name) => name.endsWith(".jinja")).map((name) => `${extraTemplates}/${name}`),
    );
  }
  const entries = names.map(async (name) => [name, await read(path.join(folder, name))] as const);
  return new Map(await Promise.all(entries));
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    const looksLikeId = /^[\w.-]+\/[\w.-]+$/.test(folder);
    throw new CraftError({
      subject: "the folder of the tokenizer",
      value: folder,
      reason: describe(cause),
      remedy: looksLikeId
        ? "If this is the id of a model on a hub, download the model and give the path of its folder"
        : "Give the path of a model folder with a tokenizer.json in it",
      cause,
    });
  }
}

function noTokenizer(folder: string, names: readonly string[]): CraftError {
  const others = names.filter((name) => name === "tokenizer.model" || name === "vocab.json");
  return new CraftError({
    subject: path.join(folder, "tokenizer.json"),
    reason: "the file is missing",
    remedy:
      others.length > 0
        ? `The folder has the older format (${others.join(", ")}): in Python, ` +
          "AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes tokenizer.json from it"
        : "A tokenizer is read from this file: fetch the whole model folder",
  });
}

async function read(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new CraftError({ subject: file, reason: `it cannot be read: ${describe(cause)}`, cause });
  }
}

/** The text of a file, which must be UTF-8. */
export function textOf(files: TokenizerFiles, name: string, folder: string): string | undefined {
  const bytes = files.get(name);
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw damaged(path.join(folder, name), "it is not UTF-8 text", cause);
  }
}

/** The JSON of a file, or undefined if the file is not there. */
export function jsonOf(files: TokenizerFiles, name: string, folder: string): unknown {
  const text = textOf(files, name, folder);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const end = text.trim() === "" ? "it is empty" : `it is not complete JSON (${describe(cause)})`;
    throw damaged(path.join(folder, name), end, cause);
  }
}

/** The templates in files of their own, by name; `chat_template.jinja` is "default". */
export function templatesOf(files: TokenizerFiles, folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of files.keys()) {
    if (!name.endsWith(".jinja")) continue;
    const title = name === "chat_template.jinja" ? "default" : path.posix.basename(name, ".jinja");
    found.set(title, textOf(files, name, folder) ?? "");
  }
  return found;
}

/** Writes each file beside its place first, so that none is ever half there. */
export async function writeTokenizerFiles(folder: string, files: TokenizerFiles): Promise<void> {
  for (const [name, bytes] of files) {
    const file = path.join(folder, name);
    const partial = `${file}.${process.pid}.partial`;
    try {
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(partial, bytes);
      await rename(partial, file);
    } catch (cause) {
      await rm(partial, { force: true }).catch(() => undefined); // the first failure is the one to tell
      throw new CraftError({ subject: file, reason: `it cannot be written: ${describe(cause)}`, cause });
    }
  }
}

function damaged(file: string, reason: string, cause: unknown): CraftError {
  return new CraftError({
    subject: file,
    reason,
    remedy: "The file is damaged or half-written: fetch it again",
    cause,
  });
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
