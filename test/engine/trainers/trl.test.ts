/** @file SFTTrainer against TRL's with PEFT's LoRA (parity/trl.py): losses, norms, learning rates and weights. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { LoraModel } from "../../../src/peft/lora.js";
import { SFTConfig, SFTTrainer } from "../../../src/trainers/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { hostTensor, largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import {
  atStep,
  inOrder,
  temporaryFolders,
  numbersOf,
  readLog,
  tinyModel,
  type TokenRow,
} from "../training/tiny.js";

interface Run {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly lora: {
    readonly r: number;
    readonly lora_alpha: number;
    readonly target_modules: string[];
  } | null;
  readonly rows: number;
  readonly steps: readonly Readonly<Record<"loss" | "grad_norm" | "learning_rate" | "epoch", number>>[];
}

const folder = join(import.meta.dirname, "../../fixtures/trl");
const { rows, runs } = JSON.parse(readFileSync(join(folder, "runs.json"), "utf8")) as {
  readonly rows: readonly TokenRow[];
  readonly runs: readonly Run[];
};

const newFolder = temporaryFolders();

let weights: Map<string, Expected>;
beforeAll(async () => {
  await loadTorch();
  weights = readTensors(join(folder, "weights.safetensors"));
});

/** The numbers of a run after a step, by name of the parameter. */
const after = (run: Run, step: number): Map<string, Expected> => {
  const prefix = `${run.name}/${step}/`;
  return new Map(
    [...weights]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, t]) => [name.slice(prefix.length), t]),
  );
};

function expectWeights(
  actual: ReadonlyMap<string, readonly number[]>,
  expected: Map<string, Expected>,
): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, { values }] of expected)
    expect(largestDifference(need(actual, name), values), name).toBeLessThanOrEqual(1e-5);
}

describe("SFTTrainer against TRL", () => {
  it.each(runs)("$name", async (run) => {
    const seed = 3;
    const model = await tinyModel();
    const lora =
      run.lora === null
        ? undefined
        : LoraModel.create(model, {
            r: run.lora.r,
            loraAlpha: run.lora.lora_alpha,
            targetModules: run.lora.target_modules,
          });
    const named = () => numbersOf(lora === undefined ? model.namedParameters() : lora.namedParameters());
    if (lora !== undefined) {
      const start = after(run, 0);
      for (const [name, parameter] of lora.namedParameters())
        parameter.set(hostTensor(need(start, name)).upload());
    }
    const output = newFolder();
    const kept: ReadonlyMap<string, readonly number[]>[] = [];
    const trainer = new SFTTrainer({
      model: lora ?? model,
      args: new SFTConfig({ ...run.args, output_dir: output, seed, save_strategy: "no", disable_tqdm: true }),
      trainDataset: inOrder(rows.slice(0, run.rows), seed),
      callbacks: [1, 2, 3].map((step) => atStep(step, () => kept.push(named()))),
    });
    await trainer.train();

    const log = readLog(output);
    expect(log).toHaveLength(run.steps.length);
    run.steps.forEach((expected, i) => {
      const { loss, grad_norm: norm, learning_rate: rate } = log[i]!;
      expect(Math.abs(loss! - expected.loss), `loss of step ${i + 1}`).toBeLessThanOrEqual(1e-5);
      expect(Math.abs(norm! - expected.grad_norm), `norm of step ${i + 1}`).toBeLessThanOrEqual(
        1e-5 * expected.grad_norm,
      );
      expect(rate).toBeCloseTo(expected.learning_rate, 12);
    });
    kept.forEach((actual, i) => {
      if (lora !== undefined || i === 2) expectWeights(actual, after(run, i + 1));
    });
    lora?.detach();
    model.dispose();
  });
});
