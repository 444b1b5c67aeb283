/** @file GRPOTrainer against TRL's on the same completions (parity/grpo.py): advantages, losses, norms, metrics. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LoraModel } from "../../../src/peft/lora.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { GRPOConfig, GRPOTrainer, type RewardInput, type Sampler } from "../../../src/trainers/index.js";
import { hostTensor, need, readTensors, type Expected } from "../fixtures.js";
import { readLog, temporaryFolders, tinyModel } from "../training/tiny.js";

interface Run {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly lora: {
    readonly r: number;
    readonly lora_alpha: number;
    readonly target_modules: string[];
  } | null;
  readonly completions: readonly (readonly (readonly number[])[])[];
  readonly advantages: readonly (readonly number[])[];
  readonly steps: readonly Readonly<Record<string, number>>[];
}

const fixtures = join(import.meta.dirname, "../../fixtures");
const { prompts, runs } = JSON.parse(readFileSync(join(fixtures, "grpo/runs.json"), "utf8")) as {
  readonly prompts: readonly (readonly number[])[];
  readonly runs: readonly Run[];
};

const evenShare = ({ completionIds }: RewardInput): number[] =>
  completionIds.map((ids) => ids.filter((id) => id % 2 === 0).length / ids.length);

const brevity = ({ completionIds }: RewardInput): (number | null)[] =>
  completionIds.map((ids) => (ids[0]! % 3 === 0 ? null : 1 - ids.length / 8));

/** The completions of a run, one rollout after the other; log-probabilities are left to the trainer. */
function given({ completions }: Run): Sampler {
  let rollout = 0;
  return () =>
    Promise.resolve(
      completions[rollout++]!.map((ids) => ({ ids, stopped: ids.at(-1) === 2 ? "eos" : "length" })),
    );
}

const newFolder = temporaryFolders();
let weights: Map<string, Expected>;
let before = 0;
beforeAll(async () => {
  await loadTorch();
  weights = readTensors(join(fixtures, "trl/weights.safetensors"));
  before = liveTensors();
});
afterAll(() => expect(liveTensors()).toBe(before));

/** What TRL tells otherwise, see docs/trainers/grpo.md. */
function comparable(name: string, run: Run): boolean {
  if (["loss", "grad_norm", "learning_rate", "epoch"].includes(name)) return false;
  // A mean of the micro-batches' shares there, the window's loss here.
  if (name === "policy_loss") return run.args["loss_type"] !== undefined && run.args["loss_type"] !== "dapo";
  return true;
}

describe("GRPOTrainer against TRL", () => {
  it.each(runs)("$name", async (run) => {
    const model = await tinyModel();
    const lora =
      run.lora === null
        ? undefined
        : LoraModel.create(model, {
            r: run.lora.r,
            loraAlpha: run.lora.lora_alpha,
            targetModules: run.lora.target_modules,
          });
    for (const [name, parameter] of lora?.namedParameters() ?? [])
      parameter.set(hostTensor(need(weights, `lora/0/${name}`)).upload());
    const output = newFolder();
    const trainer = new GRPOTrainer({
      model: lora ?? model,
      args: new GRPOConfig({
        ...run.args,
        output_dir: output,
        seed: 31,
        max_steps: run.steps.length,
        logging_steps: 1,
        save_strategy: "no",
        disable_tqdm: true,
        log_completions: true,
        num_completions_to_print: 0,
      }),
      trainDataset: prompts.map((ids) => ({ input_ids: ids })),
      rewardFuncs: [
        { name: "even_share", score: evenShare },
        ...("reward_weights" in run.args ? [{ name: "brevity", score: brevity }] : []),
      ],
      sampler: given(run),
    });
    await trainer.train();

    run.advantages.forEach((expected, i) => {
      const file = join(output, "completions", `completions_${String(i).padStart(5, "0")}.jsonl`);
      const found = readFileSync(file, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { readonly advantage: number }).advantage);
      // In TRL's the order has changed already.
      const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
      sorted(found).forEach((value, k) => expect(value).toBeCloseTo(sorted(expected)[k]!, 3));
    });
    const log = readLog(output);
    expect(log).toHaveLength(run.steps.length);
    run.steps.forEach((expected, i) => {
      const found = log[i]!;
      const at = `of step ${i + 1}`;
      expect(Math.abs(found["loss"]! - expected["loss"]!), `loss ${at}`).toBeLessThan(1e-4);
      expect(
        Math.abs(found["grad_norm"]! / expected["grad_norm"]! - 1),
        `norm ${at}: ${found["grad_norm"]} for ${expected["grad_norm"]}`,
      ).toBeLessThan(1e-3);
      expect(found["learning_rate"]).toBeCloseTo(expected["learning_rate"]!, 9);
      for (const [name, value] of Object.entries(expected))
        if (comparable(name, run)) expect(found[name], `${name} ${at}`).toBeCloseTo(value, 3);
    });
    lora?.detach();
    model.dispose();
  });
});
