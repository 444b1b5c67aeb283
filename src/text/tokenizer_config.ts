/** @file What the files of a tokenizer say together, read as transformers reads them. */
import { CraftError } from "../errors.js";
import { isObject, part, type AddedToken, type Json } from "./engine.js";

/** The contents of a tokenizer's files. */
export interface TokenizerSource {
  /** tokenizer.json */
  readonly tokenizerJson: unknown;
  /** tokenizer_config.json */
  readonly config?: unknown;
  /** special_tokens_map.json */
  readonly specialTokensMap?: unknown;
  /** Templates by name; with one of the name "default" those of the configuration do not count. */
  readonly chatTemplates?: ReadonlyMap<string, string>;
  /** The files as they are to be written by `save`; by default the contents above. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** How error messages call the tokenizer, such as its folder. */
  readonly name?: string;
}

/** What a tokenizer is made of. */
export interface Settings {
  /** tokenizer.json with all added tokens and the special tokens to put around a text. */
  readonly json: Json;
  readonly addedTokens: readonly AddedToken[];
  /** The ids of all tokens. */
  readonly ids: ReadonlyMap<string, number>;
  /** Tokens by their names in configuration files, such as eos_token. */
  readonly named: ReadonlyMap<string, string>;
  readonly allSpecialIds: readonly number[];
  readonly modelMaxLength: number;
  readonly chatTemplates: ReadonlyMap<string, string>;
  readonly cleansUp: boolean;
}

/** A special token as configuration files write it. */
type TokenSpec = string | Json;

/** Names of special tokens in configuration files, in transformers' order. */
const tokenNames = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
];

/** @throws {@link CraftError} naming the tokenizer if it has no vocabulary, or no readable chat template. */
export function readSettings(source: TokenizerSource, name: string): Settings {
  const json = part(source.tokenizerJson);
  const config = part(source.config);
  // The special tokens map counts only where the configuration does not list the added tokens.
  const map = config["added_tokens_decoder"] === undefined ? part(source.specialTokensMap) : {};
  const settings = { ...config, ...map };

  const named = namedTokens(settings);
  const special = [
    ...named.values(),
    ...tokenList(settings, "extra_special_tokens", "additional_special_tokens"),
  ];
  const ids = modelIds(json, name);
  const addedTokens = allAddedTokens(json, config, special, ids);
  for (const { content, id } of addedTokens) ids.set(content, id);
  const limit = settings["model_max_length"];
  return {
    json: { ...json, added_tokens: addedTokens, post_processor: postProcessor(json, settings, named, ids) },
    addedTokens,
    ids,
    named: new Map([...named].map(([role, token]) => [role, contentOf(token)])),
    allSpecialIds: [...new Set(special.map((token) => ids.get(contentOf(token))!))],
    // transformers writes 1e30 for no limit.
    modelMaxLength: typeof limit === "number" && limit < 1e20 ? limit : Infinity,
    chatTemplates: chatTemplates(source, config["chat_template"] ?? undefined, name),
    cleansUp: settings["clean_up_tokenization_spaces"] === true && part(json["model"])["type"] !== "BPE",
  };
}

/** The ids of the model's own tokens. */
function modelIds(json: Json, name: string): Map<string, number> {
  const vocab = part(json["model"])["vocab"];
  const entries = Array.isArray(vocab)
    ? vocab.map((entry: unknown, id) => [Array.isArray(entry) ? entry[0] : entry, id] as const)
    : Object.entries(part(vocab));
  const isEntry = (entry: readonly [unknown, unknown]): entry is [string, number] =>
    typeof entry[0] === "string" && Number.isSafeInteger(entry[1]);
  if (entries.length > 0 && entries.every(isEntry)) return new Map(entries);
  throw new CraftError({
    subject: `${name}, tokenizer.json`,
    reason: "has no model with a vocabulary of tokens and their ids",
    remedy: "Copy the file anew from its source",
  });
}

function isToken(value: unknown): value is TokenSpec {
  return typeof value === "string" || (isObject(value) && typeof value["content"] === "string");
}

function contentOf(token: TokenSpec): string {
  return typeof token === "string" ? token : String(token["content"]);
}

/** Tokens with a role, such as eos_token; the model's own roles, such as image_token, come last. */
function namedTokens(settings: Json): Map<string, TokenSpec> {
  const entries = [
    ...tokenNames.map((name) => [name, settings[name]] as const),
    ...Object.entries(part(settings["extra_special_tokens"])),
  ];
  return new Map(entries.filter((entry): entry is [string, TokenSpec] => isToken(entry[1])));
}

function tokenList(settings: Json, ...names: string[]): TokenSpec[] {
  return names
    .flatMap((name): unknown[] => (Array.isArray(settings[name]) ? settings[name] : []))
    .filter(isToken);
}

/** The added tokens of tokenizer.json, then what the configuration has beyond them. */
function allAddedTokens(
  json: Json,
  config: Json,
  special: readonly TokenSpec[],
  ids: ReadonlyMap<string, number>,
): AddedToken[] {
  const added = tokenList(json, "added_tokens").map((token) =>
    addedToken(token, Number(part(token)["id"]), false),
  );
  const known = new Set(added.map(({ content }) => content));
  const isSpecial = new Set(special.map(contentOf));
  let next = Math.max(ids.size, ...added.map(({ id }) => id + 1));
  const configured = Object.values(part(config["added_tokens_decoder"])).filter(isToken);
  for (const token of [...configured, ...special]) {
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
  const flags = [settings["add_bos_token"], settings["add_eos_token"]];
  if (flags.every((flag) => flag === undefined)) return json["post_processor"] ?? null;
  const [before, after] = ["bos_token", "eos_token"].map((role, index) => {
    const token = named.get(role);
    return flags[index] === true && token !== undefined ? [contentOf(token)] : [];
  }) as [string[], string[]];
  const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } });
  const single = [...before.map(special), { Sequence: { id: "A", type_id: 0 } }, ...after.map(special)];
  const tokens = [...before, ...after].map((token) => [
    token,
    { id: token, ids: [ids.get(token)], tokens: [token] },
  ]);
  return {
    type: "TemplateProcessing",
    single,
    pair: single,
    special_tokens: Object.fromEntries(tokens) as unknown,
  };
}

/** Templates by name. The configuration has one, or a list of name and template. */
function chatTemplates(
  source: TokenizerSource,
  configured: unknown,
  name: string,
): ReadonlyMap<string, string> {
  const given = source.chatTemplates;
  if (given?.has("default") === true || configured === undefined) return given ?? new Map();
  if (typeof configured === "string") return new Map([...(given ?? []), ["default", configured]]);
  const entries = (Array.isArray(configured) ? configured : [undefined]).map((entry) => {
    const { name: title, template } = part(entry) as { name?: unknown; template?: unknown };
    if (typeof title === "string" && typeof template === "string") return [title, template] as const;
    throw new CraftError({
      subject: `${name}, tokenizer_config.json`,
      reason: "chat_template must be a template, or a list of name and template",
      remedy: "Copy the file anew from its source",
    });
  });
  return new Map([...entries, ...(given ?? [])]);
}
