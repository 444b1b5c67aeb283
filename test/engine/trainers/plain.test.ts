/** @file The plain Trainer against transformers' (parity/plain_trainer.py): its own loss, and one that is overridden. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { DataCollatorForLanguageModeling } from "../../../src/data/index.js";
import type { CausalLM } from "../../../src/models/index.js";
import { Linear } from "../../../src/nn/linear.js";
import { Parameter, tensor, unsqueeze } from "../../../src/tensor/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { languageModelingInputs, Trainer, TrainingArguments } from "../../../src/trainers/index.js";
import type { TracedFeeds } from "../../../src/training/index.js";
import { hostTensor, largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import { inOrder, numbersOf, readLog, temporaryFolders, tinyModel } from "../training/tiny.js";

interface Row {
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
  readonly score: number;
}
interface Step {
  readonly loss: number;
  readonly grad_norm: number;
  readonly learning_rate: number;
}

const folder = join(import.meta.dirname, "../../fixtures/plain_trainer");
const { args, rows, runs } = JSON.parse(readFileSync(join(folder, "runs.json"), "utf8")) as {
  readonly args: Readonly<Record<string, unknown>>;
  readonly rows: readonly Row[];
  readonly runs: readonly { readonly name: string; readonly steps: readonly Step[] }[];
};

const newFolder = temporaryFolders();
let tensors: Map<string, Expected>;
beforeAll(async () => {
  await loadTorch();
  tensors = readTensors(join(folder, "weights.safetensors"));
});

const seed = 3;
const argumentsFor = (outputDir: string): TrainingArguments =>
  new TrainingArguments({ ...args, output_dir: outputDir, seed, save_strategy: "no", disable_tqdm: true });

function expectRun(name: string, outputDir: string, weights: ReadonlyMap<string, readonly number[]>): void {
  const { steps } = runs.find((run) => run.name === name)!;
  const log = readLog(outputDir);
  expect(log).toHaveLength(steps.length);
  for (const [i, expected] of steps.entries()) {
    const entry = log[i]!;
    expect(entry["loss"], `loss of step ${i + 1}`).toBeCloseTo(expected.loss, 5);
    expect(entry["grad_norm"]! / expected.grad_norm, `norm of step ${i + 1}`).toBeCloseTo(1, 5);
    expect(entry["learning_rate"]).toBeCloseTo(expected.learning_rate, 12);
  }
  const trained = [...tensors.keys()].filter((key) => key.startsWith(`${name}/`) && !key.includes("/start/"));
  expect([...weights.keys()].sort()).toEqual(trained.map((key) => key.slice(name.length + 1)).sort());
  for (const [parameter, values] of weights)
    expect(
      largestDifference(values, need(tensors, `${name}/${parameter}`).values),
      parameter,
    ).toBeLessThanOrEqual(1e-5);
}

/** The rows' score, read off the mean hidden state by a layer beside the model. */
class ScoredTrainer extends Trainer<Row> {
  readonly #score: Linear;

  constructor(options: ConstructorParameters<typeof Trainer<Row>>[0], score: Linear) {
    super({ ...options, modules: { score } });
    this.#score = score;
  }

  override computeLoss(model: CausalLM, inputs: TracedFeeds) {
    const { sum, weight } = this.tokenLoss(model, inputs);
    const hidden = model.hiddenStates(inputs["input_ids"]!);
    const mask = inputs["attention_mask"]!.to("float32");
    const pooled = hidden
      .mul(unsqueeze(mask, 2))
      .sum([1])
      .div(mask.sum([1], true));
    const error = this.#score.forward(pooled).reshape([-1]).sub(inputs["scores"]!).square().mean();
    return sum.div(weight).add(error.mul(0.5));
  }
}

describe("Trainer against transformers", () => {
  it("with its own loss, in windows of several micro-batches, the last of them short", async () => {
    const model = await tinyModel();
    const outputDir = newFolder();
    await new Trainer({
      model,
      args: argumentsFor(outputDir),
      trainDataset: inOrder(
        rows.map(({ input_ids, labels }) => ({ input_ids, labels })),
        seed,
      ),
    }).train();
    expectRun("default", outputDir, numbersOf(model.namedParameters()));
    model.dispose();
  });

  it("with a loss that is overridden, a column of its own and a layer beside the model", async () => {
    const model = await tinyModel();
    const outputDir = newFolder();
    const start = (name: string): Parameter =>
      new Parameter(hostTensor(need(tensors, `scored/start/score.${name}`)).upload());
    const score = new Linear(start("weight"), start("bias"));
    const padding = new DataCollatorForLanguageModeling({ padTokenId: 0 });
    const trainer = new ScoredTrainer(
      {
        model,
        args: argumentsFor(outputDir),
        trainDataset: inOrder(rows, seed),
        dataCollator: (some) => ({
          ...languageModelingInputs(padding.collate(some)),
          scores: tensor(some.map((row) => row.score)),
        }),
      },
      score,
    );
    await trainer.train();
    expectRun(
      "scored",
      outputDir,
      numbersOf([...model.namedParameters(), ...score.namedParameters("score")]),
    );
    model.dispose();
    for (const parameter of score.parameters()) parameter.dispose();
  });
});
