/** @file The parts of tokenizer.json, checked. What is not listed here is refused by its name. */

import { z } from "zod";

const pattern = z.union([
  z.object({ String: z.string() }).transform((p) => ({ kind: "string" as const, source: p.String })),
  z.object({ Regex: z.string() }).transform((p) => ({ kind: "regex" as const, source: p.Regex })),
]);
export type Pattern = z.infer<typeof pattern>;

const behavior = z
  .string()
  .transform((name) => name.toLowerCase().replaceAll("_", ""))
  .pipe(z.enum(["removed", "isolated", "mergedwithprevious", "mergedwithnext", "contiguous"]));
export type SplitBehavior = z.infer<typeof behavior>;

const leafNormalizers = [
  z.object({ type: z.literal(["NFC", "NFD", "NFKC", "NFKD"]) }),
  z.object({ type: z.literal(["Lowercase", "StripAccents", "ByteLevel"]) }),
  z.object({ type: z.literal("Prepend"), prepend: z.string() }),
  z.object({ type: z.literal("Replace"), pattern, content: z.string() }),
  z.object({ type: z.literal("Strip"), strip_left: z.boolean(), strip_right: z.boolean() }),
] as const;
type LeafNormalizer = z.infer<(typeof leafNormalizers)[number]>;
export type NormalizerConfig = LeafNormalizer | { type: "Sequence"; normalizers: NormalizerConfig[] };
export const normalizerConfig: z.ZodType<NormalizerConfig> = z.lazy(() =>
  z.discriminatedUnion("type", [
    ...leafNormalizers,
    z.object({ type: z.literal("Sequence"), normalizers: z.array(normalizerConfig) }),
  ]),
);

const scheme = z.enum(["always", "first", "never"]);
const leafPreTokenizers = [
  z.object({
    type: z.literal("ByteLevel"),
    add_prefix_space: z.boolean().default(true),
    use_regex: z.boolean().default(true),
  }),
  z.object({ type: z.literal("Split"), pattern, behavior, invert: z.boolean().default(false) }),
  z.object({
    type: z.literal("Metaspace"),
    replacement: z.string().default("▁"),
    prepend_scheme: scheme.optional(),
    /** How files before the schemes said "never". */
    add_prefix_space: z.boolean().optional(),
    split: z.boolean().default(true),
  }),
  z.object({ type: z.literal("Digits"), individual_digits: z.boolean().default(false) }),
  z.object({ type: z.literal("Punctuation"), behavior: behavior.default("isolated") }),
  z.object({ type: z.literal("CharDelimiterSplit"), delimiter: z.string() }),
  z.object({ type: z.literal(["Whitespace", "WhitespaceSplit"]) }),
] as const;
type LeafPreTokenizer = z.infer<(typeof leafPreTokenizers)[number]>;
export type PreTokenizerConfig = LeafPreTokenizer | { type: "Sequence"; pretokenizers: PreTokenizerConfig[] };
export const preTokenizerConfig: z.ZodType<PreTokenizerConfig> = z.lazy(() =>
  z.discriminatedUnion("type", [
    ...leafPreTokenizers,
    z.object({ type: z.literal("Sequence"), pretokenizers: z.array(preTokenizerConfig) }),
  ]),
);

const namedToken = z.tuple([z.string(), z.number()]);
const leafPostProcessors = [
  z.object({
    type: z.literal("TemplateProcessing"),
    single: z.array(
      z.union([
        z.object({ SpecialToken: z.object({ id: z.string() }) }),
        z.object({ Sequence: z.object({ id: z.string() }) }),
      ]),
    ),
    special_tokens: z.record(z.string(), z.object({ ids: z.array(z.number()) })),
  }),
  z.object({ type: z.literal(["BertProcessing", "RobertaProcessing"]), sep: namedToken, cls: namedToken }),
  z.object({ type: z.literal("ByteLevel") }),
] as const;
type LeafPostProcessor = z.infer<(typeof leafPostProcessors)[number]>;
export type PostProcessorConfig = LeafPostProcessor | { type: "Sequence"; processors: PostProcessorConfig[] };
export const postProcessorConfig: z.ZodType<PostProcessorConfig> = z.lazy(() =>
  z.discriminatedUnion("type", [
    ...leafPostProcessors,
    z.object({ type: z.literal("Sequence"), processors: z.array(postProcessorConfig) }),
  ]),
);

const leafDecoders = [
  z.object({ type: z.literal(["ByteLevel", "ByteFallback", "Fuse"]) }),
  z.object({ type: z.literal("Replace"), pattern, content: z.string() }),
  z.object({ type: z.literal("Strip"), content: z.string(), start: z.number(), stop: z.number() }),
  z.object({
    type: z.literal("Metaspace"),
    replacement: z.string().default("▁"),
    prepend_scheme: scheme.optional(),
    add_prefix_space: z.boolean().optional(),
  }),
  z.object({ type: z.literal("BPEDecoder"), suffix: z.string().default("</w>") }),
] as const;
type LeafDecoder = z.infer<(typeof leafDecoders)[number]>;
export type DecoderConfig = LeafDecoder | { type: "Sequence"; decoders: DecoderConfig[] };
export const decoderConfig: z.ZodType<DecoderConfig> = z.lazy(() =>
  z.discriminatedUnion("type", [
    ...leafDecoders,
    z.object({ type: z.literal("Sequence"), decoders: z.array(decoderConfig) }),
  ]),
);

export const addedTokenConfig = z.object({
  id: z.number().int().nonnegative(),
  content: z.string(),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().optional(),
  special: z.boolean().default(false),
});
export type AddedTokenConfig = z.input<typeof addedTokenConfig>;

/** Vocabulary and merges are only checked to be there: they are large, and read entry by entry later. */
const vocabulary = z.custom<Record<string, number>>((value) => typeof value === "object" && value !== null);
export const modelConfig = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("BPE"),
    vocab: vocabulary,
    merges: z.custom<readonly (string | readonly [string, string])[]>(Array.isArray),
    dropout: z.number().nullish(),
    unk_token: z.string().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
    fuse_unk: z.boolean().default(false),
    byte_fallback: z.boolean().default(false),
    ignore_merges: z.boolean().default(false),
  }),
  z.object({ type: z.literal("WordLevel"), vocab: vocabulary, unk_token: z.string() }),
  z.object({
    type: z.literal("Unigram"),
    vocab: z.custom<readonly (readonly [string, number])[]>(Array.isArray),
    unk_id: z.number().nullish(),
    byte_fallback: z.boolean().default(false),
  }),
]);
export type ModelConfig = z.infer<typeof modelConfig>;

export const tokenizerJson = z.object({
  added_tokens: z.array(addedTokenConfig).default([]),
  normalizer: normalizerConfig.nullish(),
  pre_tokenizer: preTokenizerConfig.nullish(),
  post_processor: postProcessorConfig.nullish(),
  decoder: decoderConfig.nullish(),
  model: z.preprocess(nameModel, modelConfig),
});
export type TokenizerJson = z.output<typeof tokenizerJson>;

/** Early files leave out the type of the model. */
function nameModel(model: unknown): unknown {
  if (typeof model !== "object" || model === null || "type" in model || !("vocab" in model)) return model;
  if ("merges" in model) return { ...model, type: "BPE" };
  return { ...model, type: Array.isArray(model.vocab) ? "Unigram" : "WordLevel" };
}
