/** @file Point 5 of the semantics, self-align: what the two views of a row are, and what they cost. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  ContrastiveMemory,
  CRAFTCollator,
  InfoNCELoss,
  NegativeQueue,
  SelfAlignObjective,
  type SelfAlignViews,
} from "../../../src/craft/index.js";
import { LoraModel } from "../../../src/peft/lora.js";
import { Random } from "../../../src/random.js";
import { DeviceTensor } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { MicroBatchRunner } from "../../../src/training/micro_batch.js";
import { largestDifference } from "../fixtures.js";
import { sftRows, temporaryFolders, tinyModel } from "../training/tiny.js";
import { craftTrainer, train } from "./trainer_runs.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const rows = 6;
const dim = 5;
interface Rates {
  readonly lora?: number;
  readonly head?: number;
}

/** One micro-batch in training, with the vectors of both views. */
async function run(views: SelfAlignViews, { lora = 0, head = 0 }: Rates, key: readonly [number, number]) {
  const model = await tinyModel();
  const adapters = LoraModel.create(model, {
    r: 4,
    loraDropout: lora,
    targetModules: ["q_proj", "down_proj"],
  });
  const random = new Random(1, "adapters");
  for (const [, { loraB }] of adapters.adapters) {
    const values = Array.from({ length: loraB.numel }, () => random.normal() / 2);
    loraB.set(DeviceTensor.fromHost(values, loraB.shape, "float32"));
  }
  let passes = 0;
  const own = model.hiddenStates.bind(model);
  model.hiddenStates = (...args) => {
    passes++;
    return own(...args);
  };
  const nce = new InfoNCELoss({
    hiddenSize: 16,
    projectionDim: dim,
    projectionDropout: head,
    pooling: "mean",
  });
  // The queue takes up the positives; the reference, at first, is the mean of the anchors.
  const queue = new NegativeQueue({ size: rows, dim });
  const memory = new ContrastiveMemory(dim, queue);
  const objective = new SelfAlignObjective({ nce, memory, views });
  const batch = new CRAFTCollator({ selfAlignViews: views }).collateSelfAlign(sftRows(rows, 6, 9));
  const parameters = adapters.parameters();
  const runner = new MicroBatchRunner(objective, { model, parameters, gradientCheckpointing: false });
  const terms = await runner.train(batch, key);
  queue.advance();
  const positives = queue.feeds().vectors.toNumbers();
  const result = {
    sft: { sum: terms["sft"]!.sum, gradient: terms["sft"]!.gradients.flatMap((g) => g.toNumbers()) },
    contrastive: terms["contrastive"]!.sum,
    anchorMean: memory.reference.state().numbers!["mean"]!,
    positiveMean: Array.from({ length: dim }, (_, d) =>
      positives.reduce((total, value, at) => total + (at % dim === d ? value / rows : 0), 0),
    ),
    passes,
  };
  for (const { gradients } of Object.values(terms)) for (const gradient of gradients) gradient.dispose();
  runner.dispose();
  adapters.detach();
  for (const owner of [queue, nce, model]) owner.dispose();
  return result;
}

describe("dropout views", () => {
  it.each<[string, Rates]>([
    ["adapters", { lora: 0.3 }],
    ["the projection head", { head: 0.3 }],
    ["both", { lora: 0.3, head: 0.3 }],
  ])("are two draws of the dropout of %s", async (_, rates) => {
    const drawn = await run("dropout", rates, [1, 2]);
    expect(largestDifference(drawn.anchorMean, drawn.positiveMean)).toBeGreaterThan(1e-2);
    const again = await run("dropout", rates, [1, 2]);
    expect(again).toEqual(drawn);
    const other = await run("dropout", rates, [1, 3]);
    expect(Math.abs(other.contrastive - drawn.contrastive)).toBeGreaterThan(1e-3);
  });

  it("are one and the same without any dropout", async () => {
    const { anchorMean, positiveMean } = await run("dropout", {}, [1, 2]);
    expect(largestDifference(anchorMean, positiveMean)).toBeLessThan(1e-6);
  });

  it("leave the token loss what it is in one pass", async () => {
    const rates = { lora: 0.3, head: 0.3 };
    const twice = await run("dropout", rates, [1, 2]);
    const once = await run("prompt_response", rates, [1, 2]);
    expect(twice.sft).toEqual(once.sft);
    expect(once.sft.gradient.some((value) => value !== 0)).toBe(true);
  });

  it("are for runs with dropout only", async () => {
    const options = { craftStrategy: "self_align", craftSelfAlignViews: "dropout", maxSteps: 8 } as const;
    const { log } = await train(newFolder, { ...options, craftProjectionDropout: 0.1 });
    expect(log.every((entry) => Number.isFinite(entry["loss/craft_contrast"]))).toBe(true);
    const model = await tinyModel();
    await expect(craftTrainer(model, newFolder(), options).train()).rejects.toThrow(
      "craft_self_align_views = dropout: neither the model, nor its adapter, nor the projection head has any dropout",
    );
    model.dispose();
  });
});

describe("views of one pass", () => {
  it.each<[SelfAlignViews, Rates]>([
    ["prompt_response", { lora: 0.3 }],
    ["full_response", { lora: 0.3 }],
  ])("%s: the model runs once for both losses", async (views, rates) => {
    const { passes, anchorMean, positiveMean } = await run(views, rates, [1, 2]);
    expect(passes).toBe(1);
    expect(largestDifference(anchorMean, positiveMean)).toBeGreaterThan(1e-2);
  });
});
