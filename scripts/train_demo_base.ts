/**
 * Trains the demo's base model: a small Llama that has read the training side of the compiler messages in all
 * languages, one message at a time, and no translation. Writes config.json and model.safetensors (bfloat16).
 *
 *   npx tsx scripts/train_demo_base.ts [--steps 1500] [--out assets/demo]
 */
import { rmSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadCompilerMessages, targetLanguages } from "../src/cli/demo/messages.js";
import { splitMessages } from "../src/cli/demo/split.js";
import { demoTokenizerFolder, taggedText } from "../src/cli/demo/translate.js";
import { AutoModelForCausalLM, writeCheckpoint, writeConfig } from "../src/models/index.js";
import { AutoTokenizer } from "../src/text/index.js";
import { SFTConfig, SFTTrainer } from "../src/trainers/index.js";

const { values } = parseArgs({
  options: {
    steps: { type: "string", default: "1500" },
    out: { type: "string", default: demoTokenizerFolder },
  },
});

const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 4096,
  hidden_size: 256,
  intermediate_size: 704,
  num_hidden_layers: 5,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: "silu",
  tie_word_embeddings: true,
  initializer_range: 0.02,
  bos_token_id: 0,
  eos_token_id: 0,
  pad_token_id: 1,
  torch_dtype: "bfloat16",
};

const tokenizer = await AutoTokenizer.fromPretrained(demoTokenizerFolder);
const { training } = splitMessages(loadCompilerMessages().messages);
const rows = training.flatMap((message) =>
  (["en", ...targetLanguages] as const).map((language) => {
    const ids = tokenizer.encode(taggedText(message, language), { addSpecialTokens: false });
    return { input_ids: ids };
  }),
);
const model = await AutoModelForCausalLM.fromConfig(config, { seed: 1, dtype: "bfloat16" });
const outputDir = mkdtempSync(join(tmpdir(), "craft-base-"));
try {
  const trainer = new SFTTrainer({
    model,
    trainDataset: rows,
    tokenizer,
    args: new SFTConfig({
      outputDir,
      perDeviceTrainBatchSize: 64,
      maxSteps: Number(values.steps),
      learningRate: 2e-3,
      lrSchedulerType: "cosine",
      warmupSteps: 100,
      weightDecay: 0.1,
      groupByLength: true,
      saveStrategy: "no",
      loggingSteps: 20,
      maxLength: 256,
    }),
  });
  const output = await trainer.train();
  process.stderr.write(`${JSON.stringify(output)}\n`);
  const tensors = [...model.namedParameters()].map(([name, parameter]) => [name, parameter.value] as const);
  writeCheckpoint(values.out, tensors, { dtype: "bfloat16" });
  writeConfig(values.out, config);
} finally {
  rmSync(outputDir, { recursive: true, force: true });
}
