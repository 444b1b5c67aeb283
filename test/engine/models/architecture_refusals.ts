/** @file What each architecture refuses by name; docs/models.md lists it. */

/** Checkpoint, fields of its config.json that change, and the message. */
export const refusals: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
  ["mistral", { model_type: "mixtral" }, /mixtral: is not a supported architecture\. Supported are gemma2/],
  ["mistral", { sliding_window: 0 }, /sliding_window = 0: must be at least 1/],
  [
    "qwen2",
    { layer_types: ["full_attention"] },
    /layer_types = .* must name a type for each of the 3 layers/,
  ],
  [
    "qwen2",
    { layer_types: ["full_attention", "full_attention", "chunked_attention"] },
    /has chunked_attention, which is not supported\. Supported are full_attention, sliding_attention/,
  ],
  [
    "qwen3",
    { use_sliding_window: false, layer_types: ["full_attention", "full_attention", "sliding_attention"] },
    /sliding_window: is missing, and layer_types has sliding_attention/,
  ],
  [
    "gemma2",
    { use_bidirectional_attention: true },
    /use_bidirectional_attention = true: only causal attention/,
  ],
  [
    "gemma3_text",
    { attn_logit_softcapping: 50 },
    /attn_logit_softcapping = 50: transformers' Gemma 3 does not cap/,
  ],
  [
    "gemma3_text",
    { rope_parameters: { rope_type: "default" } },
    /rope_parameters\.rope_type = default: is not a type of layers\. Known are full_attention, sliding_attention/,
  ],
  ["gemma3_text", { quantization_config: { quant_method: "awq" } }, /quantization_config/],
  [
    "phi3",
    { rope_parameters: { rope_type: "linear", factor: 2 } },
    /rope_type = linear: is not supported\. Supported are default, longrope/,
  ],
  [
    "phi3",
    { partial_rotary_factor: 0.4, rope_parameters: null },
    /partial_rotary_factor = 0\.4: of 8 elements of a head leaves 3; an even number is needed/,
  ],
  [
    "smollm3",
    { no_rope_layers: [1, 1] },
    /no_rope_layers = \[1,1\]: must have a number for each of the 4 layers/,
  ],
  ["olmo2", { clip_qkv: 8 }, /clip_qkv = 8: clipping of queries, keys and values is not supported/],
  [
    "gpt2",
    { add_cross_attention: true },
    /add_cross_attention = true: attention to an encoder is not supported/,
  ],
  ["gpt2", { reorder_and_upcast_attn: true }, /reorder_and_upcast_attn = true/],
  ["gpt2", { n_head: 3 }, /n_embd = 16: is not a multiple of n_head, which is 3/],
  [
    "gpt2",
    { activation_function: "relu" },
    /activation_function = relu: is not a supported activation\. Supported are silu/,
  ],
  [
    "gpt_neox",
    { num_key_value_heads: 1 },
    /num_key_value_heads = 1: shared keys and values are not supported/,
  ],
  [
    "gpt_neox",
    { vocab_size: 40 },
    /embed_in\.weight = \[32, 16\]: has another shape than config\.json says, \[40, 16\]/,
  ],
];
