/** @file What every side of a benchmark computes: the model's shape and the rows. bench/peers/peer.py says the same. */

/** Tokens in a row. */
export const sequence = 128;
/** SFT rows, or pairs, in a step. */
export const rowsPerStep = 4;
/** Steps' worth of different rows; then an epoch is over. */
export const stepsPerEpoch = 64;
export const promptTokens = 64;
export const newTokens = 48;
/** Tokens of each answer of a pair, and of each completion of a rollout. */
export const answerTokens = 64;
/** The end token, with which the answers of pairs end. */
export const endToken = 2;
/** A rollout of GRPO has as many prompts, with as many completions each; one of PPO a prompt for each completion. */
export const promptsPerRollout = 4;
export const copies = 4;
export const completionsPerRollout = promptsPerRollout * copies;
/** What PPO does with a rollout: passes over it, each in so many optimiser steps. */
export const ppoPasses = { epochs: 2, miniBatches: 2 } as const;

/** Where the streams of random tokens begin. */
export const streams = { sft: 1, anchor: 2, positive: 3 } as const;

/** Rows are of these tokens, whatever the model's vocabulary is. */
const vocabulary = 49152;

/** The config.json of SmolLM-135M's shape. */
const smolLM = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: vocabulary,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  hidden_act: "silu",
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  attention_bias: false,
  mlp_bias: false,
  attention_dropout: 0,
  tie_word_embeddings: true,
  initializer_range: 0.02,
  bos_token_id: 1,
  eos_token_id: 2,
  torch_dtype: "bfloat16",
  use_cache: true,
};

/** The config.json of Gemma-3-270m's shape: every sixth layer sees all tokens, the others the last 512. */
const gemma3 = {
  architectures: ["Gemma3ForCausalLM"],
  model_type: "gemma3_text",
  vocab_size: 262144,
  hidden_size: 640,
  intermediate_size: 2048,
  num_hidden_layers: 18,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  head_dim: 256,
  hidden_activation: "gelu_pytorch_tanh",
  query_pre_attn_scalar: 256,
  max_position_embeddings: 32768,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  rope_local_base_freq: 10_000,
  sliding_window: 512,
  layer_types: Array.from({ length: 18 }, (_, i) =>
    (i + 1) % 6 === 0 ? "full_attention" : "sliding_attention",
  ),
  attention_bias: false,
  attention_dropout: 0,
  tie_word_embeddings: true,
  initializer_range: 0.02,
  bos_token_id: 2,
  eos_token_id: 1,
  pad_token_id: 0,
  torch_dtype: "bfloat16",
  use_cache: true,
};

/** The config.json of Zephyr-7B-beta's shape. */
const zephyr = {
  architectures: ["MistralForCausalLM"],
  model_type: "mistral",
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  hidden_act: "silu",
  max_position_embeddings: 32768,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  sliding_window: 4096,
  attention_dropout: 0,
  tie_word_embeddings: false,
  initializer_range: 0.02,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 2,
  torch_dtype: "bfloat16",
  use_cache: true,
};

/** Shapes of real models, whose weights are random. */
export const models = { "SmolLM-135M": smolLM, "Gemma-3-270m": gemma3, "Zephyr-7B": zephyr } as const;
export type ModelName = keyof typeof models;

/** Rows of 128 token ids: x <- 1664525 x + 1013904223 (mod 2^32) from x = stream, id = (x >> 8) mod 49152. */
export function tokenRows(rows: number, stream: number): number[][] {
  let state = stream;
  const next = (): number => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return (state >>> 8) % vocabulary;
  };
  return Array.from({ length: rows }, () => Array.from({ length: sequence }, next));
}

/** Rows whose second half is supervised. @param most ids are taken modulo this, for a smaller vocabulary */
export function sftRows(most = vocabulary): { input_ids: number[]; labels: number[] }[] {
  return tokenRows(rowsPerStep * stepsPerEpoch, streams.sft).map((row) =>
    supervised(row.map((id) => id % most)),
  );
}

const supervised = (row: number[]): { input_ids: number[]; labels: number[] } => ({
  input_ids: row,
  labels: row.map((id, place) => (place < sequence / 2 ? -100 : id)),
});

/** Pairs of rows, both sides of full length, for so many pairs in a step. */
export function pairRows(perStep = rowsPerStep): { input_ids: number[]; input_ids_tgt: number[] }[] {
  const rows = Math.max(rowsPerStep * stepsPerEpoch, perStep);
  const positives = tokenRows(rows, streams.positive);
  return tokenRows(rows, streams.anchor).map((row, i) => ({
    input_ids: row,
    input_ids_tgt: positives[i]!,
  }));
}

/** Prompts of 128 tokens with two answers of 64, which end with the end token. */
export function preferenceRows(): { prompt_ids: number[]; chosen_ids: number[]; rejected_ids: number[] }[] {
  const rows = rowsPerStep * stepsPerEpoch;
  const answers = tokenRows(rows, streams.anchor);
  const answer = (row: number, from: number): number[] => [
    ...answers[row]!.slice(from, from + answerTokens - 1),
    endToken,
  ];
  return tokenRows(rows, streams.sft).map((prompt, i) => ({
    prompt_ids: prompt,
    chosen_ids: answer(i, 0),
    rejected_ids: answer(i, answerTokens),
  }));
}

/** Prompts of 64 tokens. */
export function promptRows(): { input_ids: number[] }[] {
  return tokenRows(promptsPerRollout * stepsPerEpoch, streams.sft).map((row) => ({
    input_ids: row.slice(0, promptTokens),
  }));
}

/** What completions are rewarded with: the share of their tokens that have an even number. */
export const evenShare = (ids: readonly number[]): number =>
  ids.filter((id) => id % 2 === 0).length / ids.length;
