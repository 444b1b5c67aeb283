/** @file tokenizer_config.json and special_tokens_map.json: which tokens have a role, and a few settings. */

import { z } from "zod";
import { CraftError } from "../errors.js";
import type { AddedTokenInput } from "./encoding/pipeline.js";

const addedToken = z
  .object({
    content: z.string(),
    single_word: z.boolean().optional(),
    lstrip: z.boolean().optional(),
    rstrip: z.boolean().optional(),
    normalized: z.boolean().optional(),
    special: z.boolean().optional(),
  })
  .transform(({ single_word: singleWord, ...token }): AddedTokenInput => {
    const given = Object.entries({ ...token, singleWord }).filter(([, value]) => value !== undefined);
    return { content: token.content, ...Object.fromEntries(given) };
  });
const tokenOrText = z.union([
  z.string().transform((content): AddedTokenInput => ({ content, special: true })),
  addedToken,
]);
const tokenList = z.union([
  z.array(tokenOrText),
  z.record(z.string(), tokenOrText).transform((all) => Object.values(all)),
]);

const configFile = z.looseObject({
  model_max_length: z.number().nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: z.boolean().nullish(),
  split_special_tokens: z.boolean().nullish(),
  chat_template: z
    .union([
      z.string().transform((template) => new Map([["default", template]])),
      z
        .array(z.object({ name: z.string(), template: z.string() }))
        .transform((list) => new Map(list.map(({ name, template }) => [name, template]))),
    ])
    .nullish(),
  added_tokens_decoder: z.record(z.string(), addedToken).optional(),
  extra_special_tokens: tokenList.nullish(),
  additional_special_tokens: tokenList.nullish(),
});

const specialTokensFile = z.looseObject({
  extra_special_tokens: tokenList.nullish(),
  additional_special_tokens: tokenList.nullish(),
});
const addedTokensFile = z.record(z.string(), z.number());

export interface TokenizerConfig {
  /** By the name of the role: "bos_token", "eos_token", …; a text alone counts as special. */
  readonly named: ReadonlyMap<string, AddedTokenInput>;
  readonly extra: readonly AddedTokenInput[];
  /** Tokens that tokenizer.json may not have yet, in the order of their ids. */
  readonly added: readonly AddedTokenInput[];
  readonly chatTemplates: ReadonlyMap<string, string>;
  /** In tokens; Infinity where the file states none, or the huge number that stands for none. */
  readonly modelMaxLength: number;
  readonly cleanUpSpaces: boolean;
  readonly cleanUpSpacesForBpe: boolean;
  readonly splitSpecialTokens: boolean;
}

/** Above this a length means "no limit". */
const noLimit = 1e20;

interface ConfigSource {
  readonly config?: unknown;
  readonly specialTokensMap?: unknown;
  readonly addedTokens?: unknown;
}

/**
 * Reads the files as transformers 5 does: special tokens map and added tokens count only where the config does
 * not list the added tokens itself, and then the map wins.
 * @throws CraftError naming the setting that has the wrong form
 */
export function readTokenizerConfig(source: ConfigSource, folder: string): TokenizerConfig {
  const settings = check(configFile, source.config ?? {}, `tokenizer_config.json in ${folder}`);
  const named = new Map<string, AddedTokenInput>();
  collect(settings, named);
  let extra = settings.extra_special_tokens ?? settings.additional_special_tokens ?? [];
  let added = inOrder(settings.added_tokens_decoder ?? {}, ([id]) => Number(id)).map(([, token]) => token);
  if (settings.added_tokens_decoder === undefined) {
    const map = check(
      specialTokensFile,
      source.specialTokensMap ?? {},
      `special_tokens_map.json in ${folder}`,
    );
    collect(map, named);
    extra = map.extra_special_tokens ?? map.additional_special_tokens ?? extra;
    const ids = check(addedTokensFile, source.addedTokens ?? {}, `added_tokens.json in ${folder}`);
    added = inOrder(ids, ([, id]) => id).map(([content]) => ({ content }));
  }
  const withRole = new Set([...named.values(), ...extra].map((token) => token.content));
  const length = settings.model_max_length ?? Infinity;
  return {
    named,
    extra: extra.map((token) => ({ ...token, special: true })),
    added: added.map((token) => (withRole.has(token.content) ? { ...token, special: true } : token)),
    chatTemplates: settings.chat_template ?? new Map(),
    modelMaxLength: length > noLimit ? Infinity : length,
    cleanUpSpaces: settings.clean_up_tokenization_spaces ?? false,
    cleanUpSpacesForBpe:
      settings.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output ?? false,
    splitSpecialTokens: settings.split_special_tokens ?? false,
  };
}

function inOrder<Value>(
  record: Readonly<Record<string, Value>>,
  key: (entry: [string, Value]) => number,
): [string, Value][] {
  return Object.entries(record).sort((a, b) => key(a) - key(b));
}

/** Takes every `…_token` that is a text or a token. */
function collect(settings: Readonly<Record<string, unknown>>, named: Map<string, AddedTokenInput>): void {
  for (const [key, value] of Object.entries(settings)) {
    if (!key.endsWith("_token")) continue;
    const token = tokenOrText.safeParse(value);
    if (token.success) named.set(key, { ...token.data, special: true });
  }
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown, subject: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new CraftError({
    subject:
      issue === undefined || issue.path.length === 0 ? subject : `${issue.path.join(".")} of ${subject}`,
    reason: issue?.message ?? "it cannot be read",
    remedy: "Fetch the file again, or mend the setting",
    cause: result.error,
  });
}
