/** @file QLoRA: a model in 4 bits against the same one with whole weights, in training, merging and generation. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { CRAFTSFTConfig, CRAFTSFTTrainer } from "../../../src/craft/index.js";
import { generate } from "../../../src/generation/index.js";
import { AutoModelForCausalLM, savePretrained, type CausalLM } from "../../../src/models/index.js";
import { LoraModel, type LoraOptions } from "../../../src/peft/index.js";
import { dequantizeLayers, fourBitLayers } from "../../../src/quantization/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { SFTConfig, SFTTrainer, type SFTOptions } from "../../../src/trainers/index.js";
import { largestDifference, readTensors } from "../fixtures.js";
import { modelFolder, numbersOf, pairRows, readLog, sftRows, temporaryFolders } from "../training/tiny.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const quantization = { loadIn4bit: true, bnb4bitQuantType: "nf4", bnb4bitUseDoubleQuant: true } as const;
const inFourBits = (): Promise<CausalLM> =>
  AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float32", quantization });

/** The numbers that the 4 bits stand for, as an ordinary model. */
async function whole(): Promise<CausalLM> {
  const model = await inFourBits();
  dequantizeLayers(model);
  expect([...fourBitLayers(model)]).toEqual([]);
  return model;
}

const lora: LoraOptions = { r: 2, targetModules: "all-linear" };
const common = {
  perDeviceTrainBatchSize: 2,
  maxSteps: 4,
  learningRate: 1e-2,
  loggingSteps: 1,
  disableTqdm: true,
} as const satisfies SFTOptions;

async function sft(
  model: CausalLM,
  peftConfig: LoraOptions | undefined,
  options: SFTOptions = {},
): Promise<string> {
  const outputDir = newFolder();
  const args = new SFTConfig({ ...common, outputDir, ...options });
  await new SFTTrainer({ model, peftConfig, trainDataset: sftRows(8), args }).train();
  return outputDir;
}

async function greedy(model: CausalLM): Promise<readonly (readonly number[])[]> {
  const { sequences } = await generate(model, {
    inputIds: [[3, 7, 9], [12]],
    maxNewTokens: 12,
    temperature: 0,
    eosTokenIds: [],
  });
  return sequences;
}

describe("training with adapters", () => {
  it.each([
    ["LoRA", lora],
    ["DoRA, a bias and norms", { ...lora, useDora: true, modulesToSave: ["norm"] }],
  ])("is that of the model that the 4 bits stand for: %s", async (_name, peftConfig) => {
    const before = liveTensors();
    const runs: Record<string, unknown>[][] = [];
    const adapters: (readonly number[])[] = [];
    for (const make of [inFourBits, whole]) {
      using model = await make();
      const folder = await sft(model, peftConfig);
      runs.push(readLog(folder));
      adapters.push(
        [...readTensors(join(folder, "adapter_model.safetensors")).values()].flatMap((t) => t.values),
      );
      const path = join(folder, "adapter_config.json");
      expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ peft_type: "LORA", r: 2 });
    }
    expect(liveTensors()).toBe(before);
    const losses = runs.map((run) => run.map(({ loss }) => Number(loss)));
    expect(losses[0]!.length).toBeGreaterThan(3);
    expect(largestDifference(losses[0]!, losses[1]!)).toBeLessThan(1e-5);
    expect(largestDifference(adapters[0]!, adapters[1]!)).toBeLessThan(1e-4);
    expect(
      largestDifference(
        adapters[0]!,
        adapters[0]!.map(() => 0),
      ),
    ).toBeGreaterThan(0.01);
  });

  it("is the same with gradient checkpointing, and leaves the weights alone", async () => {
    const found: (readonly number[])[] = [];
    for (const gradientCheckpointing of [false, true]) {
      using model = await inFourBits();
      const before = numbersOf(model.namedParameters());
      const trained = await sft(model, lora, { gradientCheckpointing });
      const after = numbersOf(model.namedParameters());
      for (const [name, values] of before) expect(after.get(name), name).toEqual(values);
      found.push(readLog(trained).map(({ loss }) => loss!));
    }
    expect(found[0]).toEqual(found[1]);
  });

  it("works in bfloat16, near the losses in float32", async () => {
    using exact = await inFourBits();
    using half = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "bfloat16", quantization });
    const losses: number[][] = [];
    for (const model of [exact, half]) losses.push(readLog(await sft(model, lora)).map(({ loss }) => loss!));
    expect(largestDifference(losses[0]!, losses[1]!)).toBeLessThan(0.05);
    expect(losses[0]).not.toEqual(losses[1]);
  });

  it("goes with CRAFT", async () => {
    const logs: Record<string, number>[][] = [];
    for (const make of [inFourBits, whole]) {
      using model = await make();
      const outputDir = newFolder();
      const args = new CRAFTSFTConfig({ ...common, outputDir, craftProjectionDim: 8 });
      const trainDataset = sftRows(8);
      await new CRAFTSFTTrainer({
        model,
        peftConfig: lora,
        trainDataset,
        contrastiveDataset: pairRows(7),
        args,
      }).train();
      logs.push(readLog(outputDir));
    }
    const contrast = logs.map((log) => log.map((entry) => entry["loss/craft_contrast"]!));
    expect(contrast[0]!.every(Number.isFinite)).toBe(true);
    expect(largestDifference(contrast[0]!, contrast[1]!)).toBeLessThan(1e-4);
  });

  it("cannot go on from a checkpoint over other weights", async () => {
    using model = await inFourBits();
    const outputDir = await sft(model, lora, { saveSteps: 2 });
    using other = await whole();
    const args = new SFTConfig({ ...common, outputDir, resumeFromCheckpoint: true });
    await expect(
      new SFTTrainer({ model: other, peftConfig: lora, trainDataset: sftRows(8), args }).train(),
    ).rejects.toThrow('quantization was "nf4, double" and is not set');
  });
});

describe("generation", () => {
  it("gives the tokens of the model that the 4 bits stand for, with and without an adapter", async () => {
    using model = await inFourBits();
    using other = await whole();
    expect(await greedy(model)).toEqual(await greedy(other));
    const plain = await greedy(model);
    for (const one of [model, other])
      LoraModel.create(one, { ...lora, r: 4, loraAlpha: 64, initLoraWeights: false }, 5);
    expect(await greedy(model)).toEqual(await greedy(other));
    expect(await greedy(model)).not.toEqual(plain);
  });
});

describe("merging", () => {
  const random: LoraOptions = {
    r: 2,
    loraAlpha: 8,
    targetModules: ["q_proj", "down_proj"],
    initLoraWeights: false,
  };

  it("puts whole weights in the place of those in 4 bits, and gives these back", async () => {
    const before = liveTensors();
    {
      using model = await inFourBits();
      const stored = numbersOf(model.namedParameters());
      const lora = LoraModel.create(model, random, 5);
      const adapted = await greedy(model);
      await lora.mergeAdapter();
      expect([...fourBitLayers(model)].map(([path]) => path).join()).not.toMatch(/q_proj|down_proj/);
      expect(await greedy(model)).toEqual(adapted);
      lora.unmergeAdapter();
      expect(await greedy(model)).toEqual(adapted);
      lora.detach();
      expect(numbersOf(model.namedParameters())).toEqual(stored);
    }
    expect(liveTensors()).toBe(before);
  });

  it("for good leaves a model that is saved with the rest in 4 bits", async () => {
    const before = liveTensors();
    const folder = newFolder();
    let adapted: Awaited<ReturnType<typeof greedy>>;
    {
      using model = await inFourBits();
      const lora = LoraModel.create(model, random, 5);
      adapted = await greedy(model);
      await lora.mergeAndUnload();
      expect(await greedy(model)).toEqual(adapted);
      savePretrained(model, folder);
    }
    expect(liveTensors()).toBe(before);
    using again = await AutoModelForCausalLM.fromPretrained(folder, { dtype: "float32" });
    expect([...fourBitLayers(again)].length).toBe(2 * 5);
    expect(await greedy(again)).toEqual(adapted);
    const { quantization_config: config } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as {
      readonly quantization_config: { readonly llm_int8_skip_modules: readonly string[] };
    };
    expect(config.llm_int8_skip_modules).toEqual([
      "model.layers.0.self_attn.q_proj",
      "model.layers.0.mlp.down_proj",
      "model.layers.1.self_attn.q_proj",
      "model.layers.1.mlp.down_proj",
      "lm_head",
    ]);
  });
});

describe("what is refused", () => {
  it("is training the whole model, with what to do", async () => {
    using model = await inFourBits();
    await expect(sft(model, undefined)).rejects.toThrow(
      /^model = .*: cannot be trained whole: model\.layers\.0\.self_attn\.q_proj and others are in 4 bits\. Train adapters/,
    );
    expect(() => model.setTrainable(true)).toThrow(/uint8, and cannot be trained/);
  });

  it.each([
    [
      { initLoraWeights: "pissa" },
      /init_lora_weights = pissa: is taken out of the weight, which .* has in 4 bits/,
    ],
    [{ initLoraWeights: "olora" }, /init_lora_weights = olora/],
    [
      { modulesToSave: ["q_proj"], targetModules: ["v_proj"] },
      /lora_modules_to_save = q_proj: .* is stored in 4 bits/,
    ],
  ] satisfies [LoraOptions, RegExp][])("is an adapter with %j", async (options, message) => {
    using model = await inFourBits();
    const before = liveTensors();
    expect(() => LoraModel.create(model, { ...lora, ...options })).toThrow(message);
    expect(liveTensors()).toBe(before);
  });
});
