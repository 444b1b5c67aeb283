/** @file `craft inspect`, and whether training takes the memory that it says. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { craft, craftJson, newFolder, root } from "./craft.js";

const fixtures = join(root, "test/fixtures/architectures");

interface Training {
  readonly method: string;
  readonly gradient_checkpointing: boolean;
  readonly weights_bytes: number;
  readonly optimizer_bytes: number;
  readonly total_bytes: number;
  readonly fits: boolean;
}

const trainingOf = (report: Record<string, unknown>): readonly Training[] =>
  report["estimated_training"] as readonly Training[];

/** A model of the config alone, as after only that was fetched. */
function configFolder(config: object): string {
  const folder = join(newFolder(), "model");
  mkdirSync(folder);
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

/** https://huggingface.co/HuggingFaceH4/zephyr-7b-beta */
const zephyr = {
  model_type: "mistral",
  ...{ vocab_size: 32000, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32 },
  ...{
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 32768,
    sliding_window: 4096,
  },
  tie_word_embeddings: false,
};

describe("craft inspect", () => {
  it("shows a model and says that memory is estimated", async () => {
    const { code, stdout } = await craft(["inspect", join(fixtures, "gpt2"), "--dtype", "float32"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^type +gpt2$/m);
    expect(stdout).toMatch(/^on disk +\d+ kB, float32, 1 file$/m);
    expect(stdout).toMatch(/^LoRA +rank 8 on c_attn: [\d,]+ trained/m);
    expect(stdout).toMatch(/^Memory for 8 rows of \d+ tokens in float32, estimated from the shapes; /m);
    expect(stdout).toMatch(/^QLoRA, checkpointing .* yes$/m);
  });

  it("knows a model of seven billion parameters by its config alone, and that it does not fit", async () => {
    const folder = configFolder(zephyr);
    const args = [
      "inspect",
      folder,
      "--dtype",
      "bfloat16",
      "--batch",
      "1",
      "--length",
      "128",
      "--lora-r",
      "16",
    ];
    const report = await craftJson(args);
    // Embedding and head; in each layer q and o, k and v, three of the MLP, two norms; the last norm.
    const layer = 2 * 4096 ** 2 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096;
    const layers = 32 * layer + 4096;
    const table = 32000 * 4096;
    expect(report["parameters"]).toEqual({
      total: 2 * table + layers,
      embedding: table,
      layers,
      head: table,
    });
    expect(2 * table + layers).toBe(7_241_732_096);
    // Rank 16 on q, 4096 to 4096, and v, 4096 to 1024.
    expect(report["lora"]).toEqual({
      r: 16,
      target_modules: "q_proj, v_proj",
      trainable: 32 * 16 * (4096 + 4096 + 4096 + 1024),
    });
    expect(report["stored"]).toBeNull();
    const [full, , lora, , qlora] = trainingOf(report);
    expect(full!.weights_bytes).toBe(4 * 7_241_732_096);
    expect(full!.optimizer_bytes).toBe(8 * 7_241_732_096);
    expect(lora!.weights_bytes).toBe(2 * 7_241_732_096 + 4 * 6_815_744);
    // Four bits and an eighth for each of 6.98 billion weights, two bytes for the tables.
    expect(qlora!.total_bytes).toBeGreaterThan(4.1e9);
    expect(qlora!.total_bytes).toBeLessThan(8 * 2 ** 30);
    const free = Number(report["free_bytes"]);
    for (const { total_bytes: total, fits } of trainingOf(report)) expect(fits).toBe(total <= free);
    // Keys and values of 128 tokens, 32 layers, 8 heads of 128, two bytes each.
    expect(report["estimated_generation"]).toMatchObject({ cache_bytes: 2 * 128 * 32 * 8 * 128 * 2 });
  });

  it("refuses an architecture by its name, layers that are not there, and numbers out of range", async () => {
    const mamba = await craft(["inspect", configFolder({ ...zephyr, model_type: "mamba" })]);
    expect(mamba.code).toBe(1);
    expect(mamba.stderr).toContain("model_type = mamba: is not a supported architecture");
    const model = join(fixtures, "qwen3");
    const layers = await craft(["inspect", model, "--lora-target-modules", "q_prj"]);
    expect(layers.stderr).toContain("error: lora_target_modules = q_prj: matches no linear layer");
    const batch = await craft(["inspect", model, "--batch", "0"]);
    expect(batch.stderr).toContain("error: --batch = 0: must be a number from 1 on");
    const nothing = await craft(["inspect"]);
    expect(nothing.stderr).toContain("missing required argument 'model'");
  });
});

const small = {
  model_type: "llama",
  ...{ vocab_size: 4096, hidden_size: 256, intermediate_size: 704, num_hidden_layers: 4 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 512 },
  ...{ tie_word_embeddings: false, bos_token_id: 0, eos_token_id: 1 },
};

/** Trains two steps in a process of its own, and prints the most memory that it ever had. */
const script = `
import { readFileSync } from "node:fs";
const [outputDir, checkpointing] = process.argv.slice(2);
const { AutoModelForCausalLM, SFTConfig, SFTTrainer } = await import(${JSON.stringify(`${root}/dist/index.js`)});
const trainDataset = Array.from({ length: 16 }, (_, row) => {
  const ids = Array.from({ length: 256 }, (_, i) => (row * 37 + i * 11) % 4096);
  return { input_ids: ids, labels: ids };
});
const model = await AutoModelForCausalLM.fromConfig(${JSON.stringify(small)}, { dtype: "float32", seed: 1 });
const args = new SFTConfig({
  outputDir, dtype: "float32", perDeviceTrainBatchSize: 8, maxSteps: 2,
  gradientCheckpointing: checkpointing === "true", saveStrategy: "no", loggingStrategy: "no", disableTqdm: true,
});
await new SFTTrainer({ model, trainDataset, args }).train();
console.log(Number(/VmHWM:\\s*(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024);
`;

async function peakOfTraining(checkpointing: boolean): Promise<number> {
  const folder = newFolder();
  writeFileSync(join(folder, "train.mjs"), script);
  const args = [join(folder, "train.mjs"), join(folder, "out"), String(checkpointing)];
  const env = { ...process.env, OMP_NUM_THREADS: "1" };
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  return Number(stdout.trim().split("\n").at(-1));
}

// Only Linux tells the most memory that a process ever had in this place.
it.runIf(existsSync("/proc/self/status"))("estimates what training takes", async () => {
  const args = ["inspect", configFolder(small), "--dtype", "float32", "--batch", "8", "--length", "256"];
  const [plain, checkpointed] = trainingOf(await craftJson(args));
  expect([plain!.gradient_checkpointing, checkpointed!.gradient_checkpointing]).toEqual([false, true]);
  const real = [await peakOfTraining(false), await peakOfTraining(true)] as const;
  const near = (estimate: number, measured: number, factor: number): void => {
    expect(estimate).toBeGreaterThan(measured / factor);
    expect(estimate).toBeLessThan(measured * factor);
  };
  near(plain!.total_bytes, real[0], 1.3);
  near(checkpointed!.total_bytes, real[1], 1.3);
  // What the process itself takes is in both, but for tens of megabytes of JavaScript's heap from run to run.
  near(plain!.total_bytes - checkpointed!.total_bytes, real[0] - real[1], 2);
});
