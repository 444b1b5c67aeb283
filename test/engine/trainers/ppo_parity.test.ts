/** @file PPOTrainer against plain PyTorch by the formulas of TRL 1.10 (parity/ppo.py), on the same completions. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LoraModel } from "../../../src/peft/lora.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { PPOConfig, PPOTrainer, type RewardInput, type Sampler } from "../../../src/trainers/index.js";
import { hostTensor, need, readTensors, type Expected } from "../fixtures.js";
import { readLog, temporaryFolders, tinyModel } from "../training/tiny.js";

type Numbers = Readonly<Record<string, number>>;

interface Run {
  readonly name: string;
  readonly args: Numbers;
  readonly lora: { readonly r: number; readonly lora_alpha: number; readonly target_modules: string[] };
  readonly completions: readonly (readonly (readonly number[])[])[];
  readonly rollouts: readonly Numbers[];
  readonly steps: readonly Numbers[];
}

const fixtures = join(import.meta.dirname, "../../fixtures");
const { prompts, runs } = JSON.parse(readFileSync(join(fixtures, "ppo/runs.json"), "utf8")) as {
  readonly prompts: readonly (readonly number[])[];
  readonly runs: readonly Run[];
};

const evenShare = ({ completionIds }: RewardInput): number[] =>
  completionIds.map((ids) => ids.filter((id) => id % 2 === 0).length / ids.length);

const newFolder = temporaryFolders();
let weights: Map<string, Expected>;
let before = 0;
beforeAll(async () => {
  await loadTorch();
  weights = readTensors(join(fixtures, "trl/weights.safetensors"));
  before = liveTensors();
});
afterAll(() => expect(liveTensors()).toBe(before));

describe("PPOTrainer follows the formulas", () => {
  it.each(runs)("$name", async (run) => {
    const { r, lora_alpha: loraAlpha, target_modules: targetModules } = run.lora;
    const model = await tinyModel();
    const lora = LoraModel.create(model, { r, loraAlpha, targetModules });
    for (const [name, parameter] of lora.namedParameters())
      parameter.set(hostTensor(need(weights, `lora/0/${name}`)).upload());
    let rollout = 0;
    const sampler: Sampler = () =>
      Promise.resolve(
        run.completions[rollout++]!.map((ids) => ({ ids, stopped: ids.at(-1) === 2 ? "eos" : "length" })),
      );
    const output = newFolder();
    const trainer = new PPOTrainer({
      model: lora,
      args: new PPOConfig({
        ...run.args,
        output_dir: output,
        seed: 31,
        shuffle_dataset: false,
        max_steps: run.steps.length,
        logging_steps: 1,
        save_strategy: "no",
        disable_tqdm: true,
      }),
      trainDataset: prompts.map((ids) => ({ input_ids: ids })),
      rewardFuncs: evenShare,
      sampler,
    });
    await trainer.train();
    const log = readLog(output);
    run.steps.forEach((expected, i) => {
      const { loss, grad_norm: norm, ...more } = expected;
      const found = log[i]!;
      expect(Math.abs(found["loss"]! - loss!), `loss of step ${i + 1}`).toBeLessThan(1e-4);
      expect(Math.abs(found["grad_norm"]! / norm! - 1), `norm of step ${i + 1}`).toBeLessThan(1e-3);
      for (const [name, value] of Object.entries(more))
        expect(found[name], `${name} of step ${i + 1}`).toBeCloseTo(value, 3);
    });
    const told = log.filter((entry) => "objective/kl" in entry);
    expect(told).toHaveLength(run.rollouts.length);
    run.rollouts.forEach(({ advantages: _, ...expected }, i) => {
      for (const [name, value] of Object.entries(expected))
        expect(told[i]![name], `${name} of rollout ${i}`).toBeCloseTo(value, 4);
    });
    trainer.valueHead?.dispose();
    lora.detach();
    model.dispose();
  });
});
