/** @file DPOTrainer and its losses against TRL's (parity/preferences.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DPOConfig, DPOTrainer, pairLoss, type PairLoss } from "../../../src/trainers/index.js";
import { compile, HostTensor, type Tensor } from "../../../src/tensor/index.js";
import { liveTensors, loadTorch } from "../../../src/torch/index.js";
import { inOrder, temporaryFolders, tinyModel } from "../training/tiny.js";
import { common, expectLog, preferenceFolder, rows, runs } from "./trl.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const losses = JSON.parse(readFileSync(join(preferenceFolder, "losses.json"), "utf8")) as {
  readonly policy: readonly (readonly number[])[];
  readonly reference: readonly (readonly number[])[];
  readonly lengths: readonly (readonly number[])[];
  readonly cases: readonly (Readonly<Record<string, unknown>> & {
    readonly loss_type: PairLoss;
    readonly loss: number;
  })[];
};

describe("losses over pairs", () => {
  it.each(losses.cases)("$loss_type $f_divergence_type $f_alpha_divergence_coef", async (one) => {
    const { loss: expected, loss_type: name, ...more } = one;
    const { values } = new DPOConfig({ lossType: name, ...more });
    const { discopopTau = 0.05, fAlphaDivergenceCoef = 0.5 } = values;
    const options = { ...values, discopopTau, fAlphaDivergenceCoef };
    const sidesOf = (chosen: Tensor, rejected: Tensor) => ({ chosen, rejected });
    const run = compile((all: readonly Tensor[]) =>
      pairLoss(
        name,
        {
          policy: sidesOf(all[0]!, all[1]!),
          reference: sidesOf(all[2]!, all[3]!),
          lengths: sidesOf(all[4]!, all[5]!),
        },
        options,
      ).mean(),
    );
    const { policy, reference, lengths } = losses;
    using found = await run([...policy, ...reference, ...lengths].map((list) => HostTensor.from([...list])));
    run.dispose();
    expect(Math.abs(found.item() - expected)).toBeLessThan(2e-6 * Math.max(1, Math.abs(expected)));
  });
});

/** What is the same for every kind of loss. `logits` and `entropy` are means over answers here, over tokens in TRL. */
const logged = [
  "loss",
  "grad_norm",
  "learning_rate",
  "rewards/chosen",
  "rewards/rejected",
  "rewards/margins",
];

describe("DPOTrainer against TRL", () => {
  const cache = process.env["CRAFT_CACHE"];
  beforeAll(() => void (process.env["CRAFT_CACHE"] = newFolder()));
  afterAll(() => {
    if (cache === undefined) delete process.env["CRAFT_CACHE"];
    else process.env["CRAFT_CACHE"] = cache;
  });

  it.each(
    runs
      .filter(({ kind }) => kind === "dpo")
      .flatMap((run) => [true, false].map((share) => ({ run, share }))),
  )("$run.name, prompts shared: $share", async ({ run, share }) => {
    const live = liveTensors();
    const [model, outputDir, seed] = [await tinyModel(), newFolder(), 3];
    const options = { ...common, ...run.args, seed, loggingSteps: 1, outputDir, sharePrompts: share };
    const args = new DPOConfig({ ...options, saveStrategy: "no", disableTqdm: true });
    const trainDataset = inOrder(rows, seed);
    await new DPOTrainer({ model, args, trainDataset }).train();
    expectLog(outputDir, run, [...logged, "rewards/accuracies", "logps/chosen", "logps/rejected"]);
    model.dispose();
    expect(liveTensors()).toBe(live);
  });
});
