/** @file What every side of a benchmark computes: the model's shape and the rows. bench/peers/peer.py says the same. */

/** Tokens in a row. */
export const sequence = 128;
/** SFT rows, or pairs, in a step. */
export const rowsPerStep = 4;
/** Steps' worth of different rows; then an epoch is over. */
export const stepsPerEpoch = 64;
export const promptTokens = 64;
export const newTokens = 48;

/** Where the streams of random tokens begin. */
export const streams = { sft: 1, anchor: 2, positive: 3 } as const;

/** The config.json of SmolLM-135M's shape. */
export const modelConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 49152,
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

/** Rows of 128 token ids: x <- 1664525 x + 1013904223 (mod 2^32) from x = stream, id = (x >> 8) mod 49152. */
export function tokenRows(rows: number, stream: number): number[][] {
  let state = stream;
  const next = (): number => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return (state >>> 8) % modelConfig.vocab_size;
  };
  return Array.from({ length: rows }, () => Array.from({ length: sequence }, next));
}

/** Rows whose second half is supervised. */
export function sftRows(): { input_ids: number[]; labels: number[] }[] {
  return tokenRows(rowsPerStep * stepsPerEpoch, streams.sft).map((row) => ({
    input_ids: row,
    labels: row.map((id, place) => (place < sequence / 2 ? -100 : id)),
  }));
}

/** Pairs of rows, both sides of full length, for so many pairs in a step. */
export function pairRows(perStep = rowsPerStep): { input_ids: number[]; input_ids_tgt: number[] }[] {
  const rows = Math.max(rowsPerStep * stepsPerEpoch, perStep);
  const positives = tokenRows(rows, streams.positive);
  return tokenRows(rows, streams.anchor).map((row, i) => ({
    input_ids: row,
    input_ids_tgt: positives[i]!,
  }));
}
