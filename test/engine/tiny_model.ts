/** @file A random Llama with a real tokenizer, made when a test needs one. */
import { cpSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { AutoModelForCausalLM, savePretrained } from "../../src/models/index.js";

/**
 * Writes a Llama of two small layers, with the tokenizer of test/fixtures/text/byte_level, into the folder.
 *
 * @param positions that it has
 */
export async function makeModel(folder: string, positions = 256): Promise<void> {
  const model = await AutoModelForCausalLM.fromConfig(
    {
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      vocab_size: 640,
      hidden_size: 32,
      intermediate_size: 64,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      max_position_embeddings: positions,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      hidden_act: "silu",
      tie_word_embeddings: true,
      initializer_range: 0.05,
      bos_token_id: 600,
      eos_token_id: 601,
    },
    { dtype: "float32", seed: 3 },
  );
  savePretrained(model, folder);
  model.dispose();
  cpSync(fileURLToPath(new URL("../fixtures/text/byte_level", import.meta.url)), folder, { recursive: true });
}
