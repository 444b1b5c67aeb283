import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AutoTokenizer, type Tokenizer } from "../../../src/text/index.js";

const root = new URL("../../fixtures/text/", import.meta.url);

export function fixturePath(name: string): string {
  return fileURLToPath(new URL(name, root));
}

/** A JSON file that parity/text.py wrote; the caller states its shape. */
export function fixture<Shape>(name: string): Shape {
  return JSON.parse(readFileSync(fixturePath(name), "utf8")) as Shape;
}

/** Calls with a new folder that holds the files, and removes it afterwards. */
export async function withFolder<Result>(
  files: Readonly<Record<string, string>>,
  use: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "craft-text-"));
  try {
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A tokenizer of files with the given contents. */
export function openTokenizer(json: object, config: object = {}): Promise<Tokenizer> {
  const files = { "tokenizer.json": JSON.stringify(json), "tokenizer_config.json": JSON.stringify(config) };
  return withFolder(files, (folder) => AutoTokenizer.fromPretrained(folder));
}
