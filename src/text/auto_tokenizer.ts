/** @file Reads a tokenizer's folder. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { pretrainedFolder, type HubOptions } from "../hub/index.js";
import { isObject, type Json } from "./engine.js";
import { Tokenizer } from "./tokenizer.js";

/** The files that make a tokenizer; all but the first may be absent. */
const fileNames = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];

export const AutoTokenizer = {
  /**
   * Reads tokenizer.json with tokenizer_config.json, special_tokens_map.json and chat_template.jinja. Special tokens that the
   * configuration names and tokenizer.json lacks are added, as transformers does.
   *
   * @param pathOrId - a folder, or the id of a model on the hub (`org/name`), of which only these files are fetched.
   * @throws {@link CraftError} naming the file that is missing or broken, or what the hub refuses.
   *
   * @example
   * const tokenizer = await AutoTokenizer.fromPretrained("path/to/model");
   * tokenizer.encode("Hello");
   */
  async fromPretrained(pathOrId: string, options: HubOptions = {}): Promise<Tokenizer> {
    const folder = await pretrainedFolder(pathOrId, "tokenizer", options);
    const files = new Map<string, Buffer>();
    for (const name of fileNames) {
      const bytes = await read(join(folder, name), name === "tokenizer.json");
      if (bytes !== undefined) files.set(name, bytes);
    }
    const json = (name: string) => parse(files.get(name), join(folder, name));
    const template = files.get("chat_template.jinja")?.toString("utf8");
    return new Tokenizer({
      tokenizerJson: json("tokenizer.json"),
      config: json("tokenizer_config.json"),
      specialTokensMap: json("special_tokens_map.json"),
      ...(template !== undefined && { chatTemplates: new Map([["default", template]]) }),
      files,
      name: folder,
    });
  },
};

async function read(path: string, isRequired: boolean): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" && !isRequired) return undefined;
    throw new CraftError({
      subject: path,
      reason: code === "ENOENT" ? "there is no such file" : `cannot be read (${String(code)})`,
      remedy:
        "Give a model's folder. If its tokenizer is of another kind, load it with transformers and save it with save_pretrained",
      cause,
    });
  }
}

function parse(bytes: Buffer | undefined, path: string): Json | undefined {
  if (bytes === undefined) return undefined;
  const remedy = "Copy the file anew from its source";
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new CraftError({ subject: path, reason: `is not JSON (${problem})`, remedy, cause });
  }
  if (isObject(value)) return value;
  throw new CraftError({ subject: path, reason: "must hold a JSON object", remedy });
}
