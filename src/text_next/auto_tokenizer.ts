/** @file Reads a folder with a tokenizer as transformers does. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import { isObject, openEngine, part, type AddedToken, type Json } from "./engine.js";
import { Tokenizer, type NamedTokens } from "./tokenizer.js";

/** The files that make a tokenizer; all but the first may be absent. */
const fileNames = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
] as const;

/** Names of special tokens in config files, in transformers' order. */
const tokenNames = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
];

export const AutoTokenizer = {
  /**
   * Reads tokenizer.json with tokenizer_config.json, special_tokens_map.json and chat_template.jinja.
   *
   * Special tokens that the configuration names and tokenizer.json lacks are added, as transformers does.
   *
   * @throws {@link CraftError} naming the file that is missing or broken.
   *
   * @example
   * const tokenizer = await AutoTokenizer.fromPretrained("path/to/model");
   * tokenizer.encode("Hello");
   */
  async fromPretrained(folder: string): Promise<Tokenizer> {
    const files = await readFiles(folder);
    const json = requireObject(files, "tokenizer.json", folder);
    const config = optionalObject(files, "tokenizer_config.json", folder);
    // transformers reads the special tokens map only where the configuration does not list the added tokens.
    const isLegacy = config["added_tokens_decoder"] === undefined;
    const map = isLegacy ? optionalObject(files, "special_tokens_map.json", folder) : {};
    const settings = { ...config, ...map };
    const file = join(folder, "tokenizer.json");

    const ids = modelIds(json, file);
    const named = namedTokens(settings);
    const addedTokens = completeAddedTokens(json, config, [...named.values(), ...extraTokens(settings)], ids);
    for (const { content, id } of addedTokens) ids.set(content, id);
    const complete: Json = {
      ...json,
      added_tokens: addedTokens,
      post_processor: postProcessor(json, settings, named, ids),
    };
    const names: NamedTokens = new Map([...named].map(([name, token]) => [name, contentOf(token)]));
    const specialTokens = [...names.values(), ...extraTokens(settings).map(contentOf)];
    return new Tokenizer({
      folder,
      files,
      json: complete,
      engine: openEngine(complete, names.get("eos_token"), file),
      addedTokens,
      ids,
      namedTokens: names,
      allSpecialIds: [...new Set(specialTokens)].map((token) => ids.get(token)!),
      modelMaxLength: maxLength(settings["model_max_length"]),
      chatTemplate: chatTemplate(files, settings, folder),
      cleansUp: settings["clean_up_tokenization_spaces"] === true && part(json["model"])["type"] !== "BPE",
    });
  },
};

/** A special token as configuration files write it. */
type TokenSpec = string | Json;

async function readFiles(folder: string): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const name of fileNames) {
    const path = join(folder, name);
    try {
      files.set(name, await readFile(path));
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "ENOENT" && name !== "tokenizer.json") continue;
      throw new CraftError({
        subject: path,
        reason: code === "ENOENT" ? "there is no such file" : `cannot be read (${String(code)})`,
        remedy:
          "Give the folder of a model with a tokenizer; where it has another kind of tokenizer, load it with transformers and save it with save_pretrained",
        cause: error,
      });
    }
  }
  return files;
}

function requireObject(files: ReadonlyMap<string, Buffer>, name: string, folder: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(files.get(name)));
  } catch (error) {
    throw broken(folder, name, `is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (isObject(value)) return value;
  throw broken(folder, name, "must hold a JSON object");
}

function optionalObject(files: ReadonlyMap<string, Buffer>, name: string, folder: string): Json {
  return files.has(name) ? requireObject(files, name, folder) : {};
}

function broken(folder: string, name: string, reason: string): CraftError {
  return new CraftError({
    subject: join(folder, name),
    reason,
    remedy: "Copy the file anew from its source",
  });
}

/** The ids of the model's own tokens. */
function modelIds(json: Json, file: string): Map<string, number> {
  const vocab = part(json["model"])["vocab"];
  const ids = new Map<string, number>();
  if (Array.isArray(vocab)) {
    vocab.forEach((entry: unknown, id) => ids.set(Array.isArray(entry) ? String(entry[0]) : "", id));
  } else {
    for (const [token, id] of Object.entries(part(vocab))) if (typeof id === "number") ids.set(token, id);
  }
  if (ids.size > 0) return ids;
  throw new CraftError({
    subject: file,
    reason: "has no model with a vocabulary",
    remedy: "Copy the file anew from its source",
  });
}

function isToken(value: unknown): value is TokenSpec {
  return typeof value === "string" || (isObject(value) && typeof value["content"] === "string");
}

function contentOf(token: TokenSpec): string {
  return typeof token === "string" ? token : String(token["content"]);
}

/** Tokens with a role, such as eos_token; the model's own roles, as image_token, come last. */
function namedTokens(settings: Json): Map<string, TokenSpec> {
  const entries = [
    ...tokenNames.map((name) => [name, settings[name]] as const),
    ...Object.entries(part(settings["extra_special_tokens"])),
  ];
  return new Map(entries.filter((entry): entry is [string, TokenSpec] => isToken(entry[1])));
}

function extraTokens(settings: Json): readonly TokenSpec[] {
  return [settings["extra_special_tokens"], settings["additional_special_tokens"]]
    .flatMap((list): unknown[] => (Array.isArray(list) ? list : []))
    .filter(isToken);
}

/** The added tokens of tokenizer.json, then what the configuration has beyond them. */
function completeAddedTokens(
  json: Json,
  config: Json,
  special: readonly TokenSpec[],
  ids: ReadonlyMap<string, number>,
): readonly AddedToken[] {
  const listed: readonly unknown[] = Array.isArray(json["added_tokens"]) ? json["added_tokens"] : [];
  const added = listed.filter(isToken).map((token) => addedToken(token, Number(part(token)["id"]), false));
  const known = new Set(added.map(({ content }) => content));
  let next = Math.max(ids.size, ...added.map(({ id }) => id + 1));
  const further = Object.values(part(config["added_tokens_decoder"])).filter(isToken);
  const isSpecial = new Set(special.map(contentOf));
  for (const token of [...further, ...special]) {
    const content = contentOf(token);
    if (known.has(content)) continue;
    known.add(content);
    added.push(addedToken(token, ids.get(content) ?? next++, isSpecial.has(content)));
  }
  return added;
}

function addedToken(token: TokenSpec, id: number, isSpecial: boolean): AddedToken {
  const flags = part(token);
  const special = isSpecial || flags["special"] === true;
  return {
    id,
    content: contentOf(token),
    single_word: flags["single_word"] === true,
    lstrip: flags["lstrip"] === true,
    rstrip: flags["rstrip"] === true,
    normalized: typeof flags["normalized"] === "boolean" ? flags["normalized"] : !special,
    special,
  };
}

/** What puts special tokens around a text; add_bos_token and add_eos_token win over tokenizer.json. */
function postProcessor(
  json: Json,
  settings: Json,
  named: ReadonlyMap<string, TokenSpec>,
  ids: ReadonlyMap<string, number>,
): unknown {
  if (settings["add_bos_token"] === undefined && settings["add_eos_token"] === undefined) {
    return json["post_processor"];
  }
  const added = (name: string): string[] => {
    const token = named.get(name);
    return settings[`add_${name}`] === true && token !== undefined ? [contentOf(token)] : [];
  };
  const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } });
  const [before, after] = [added("bos_token"), added("eos_token")];
  const single = [...before.map(special), { Sequence: { id: "A", type_id: 0 } }, ...after.map(special)];
  const tokens = [...before, ...after].map((token) => [
    token,
    { id: token, ids: [ids.get(token)], tokens: [token] },
  ]);
  return {
    type: "TemplateProcessing",
    single,
    pair: single,
    special_tokens: Object.fromEntries(tokens) as object,
  };
}

/** transformers writes 1e30 for no limit. */
function maxLength(value: unknown): number {
  return typeof value === "number" && value < 1e20 ? value : Infinity;
}

/** The template of the jinja file, else that of the configuration, which may hold several by name. */
function chatTemplate(
  files: ReadonlyMap<string, Buffer>,
  settings: Json,
  folder: string,
): string | Readonly<Record<string, string>> | undefined {
  const file = files.get("chat_template.jinja");
  if (file !== undefined) return file.toString("utf8");
  const value = settings["chat_template"];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  const entries = (Array.isArray(value) ? value : []).map((entry) => [
    part(entry)["name"],
    part(entry)["template"],
  ]);
  if (entries.length > 0 && entries.flat().every((item) => typeof item === "string")) {
    return Object.fromEntries(entries) as Record<string, string>;
  }
  throw broken(
    folder,
    "tokenizer_config.json",
    "chat_template must be a template, or a list of name and template",
  );
}
