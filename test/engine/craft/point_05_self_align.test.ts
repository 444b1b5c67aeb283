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
import { largestDifference, need } from "../fixtures.js";
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
  for (const [name, loraB] of adapters.namedParameters()) {
    if (!name.includes("lora_B")) continue;
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

describe("one backward pass for both losses", () => {
  it("teaches the same bit for bit whatever is logged", async () => {
    const options = { craftStrategy: "self_align", craftProjectionDropout: 0.1, maxSteps: 6 } as const;
    const { weights, log } = await train(newFolder, options);
    expect(log.every((entry) => entry["grad_norm/sft"]! > 0)).toBe(true);
    const seldom = await train(newFolder, { ...options, loggingSteps: 3 });
    expect(seldom.weights).toEqual(weights);
    const without = await train(newFolder, { ...options, craftReportMetrics: ["temperature"] });
    expect(without.weights).toEqual(weights);
    expect(Object.keys(without.log[0]!).filter((name) => name.startsWith("grad_norm/"))).toEqual([]);
  });

  it("teaches what one pass for each loss teaches, but for rounding", async () => {
    const options = { craftStrategy: "self_align", maxSteps: 6 } as const;
    const { weights } = await train(newFolder, options);
    // A limit that is never reached needs the tasks' gradients by themselves.
    const limit = { craftGradientClipPerTask: true, craftGradientClipValue: 1e6 };
    const separate = await train(newFolder, { ...options, ...limit });
    for (const [name, values] of weights)
      expect(largestDifference(need(separate.weights, name), values), name).toBeLessThanOrEqual(1e-4);
  });

  it.each([false, true])(
    "counts the pairs that have a negative beforehand; symmetric: %s",
    async (symmetric) => {
      const model = await tinyModel();
      const nce = new InfoNCELoss({ hiddenSize: 16, projectionDim: dim, pooling: "mean", symmetric });
      const queue = new NegativeQueue({ size: 4, dim });
      const memory = new ContrastiveMemory(dim, queue);
      const objective = new SelfAlignObjective({ nce, memory, views: "prompt_response" });
      const runner = new MicroBatchRunner(objective, {
        model,
        parameters: nce.parameters(),
        gradientCheckpointing: false,
      });
      const batch = new CRAFTCollator().collateSelfAlign(sftRows(4, 6, 9));
      // Positive 2 says the same as anchor 0 and as pair 3, and its own anchor the same as anchor 1.
      const [a, b, c, p] = [1, 2, 3, 4];
      const hashes = {
        anchorHash: Int32Array.of(p, a, a, b),
        positiveHash: Int32Array.of(c, 5, p, p),
      };
      const repeated = { ...batch, ...hashes };
      const alike = {
        ...batch,
        anchorHash: Int32Array.of(a, a, a, a),
        positiveHash: Int32Array.of(b, b, b, b),
      };
      const found: number[] = [];
      for (const each of [repeated, alike, batch]) {
        const weights = objective.weights(each);
        found.push(weights.contrastive);
        if (weights.contrastive === 0) continue;
        const terms = await runner.train(each, [1, 1]);
        expect(terms["contrastive"]!.weight).toBe(weights.contrastive);
        expect(terms["sft"]!.weight).toBe(weights.sft);
        for (const { gradients } of Object.values(terms))
          for (const gradient of gradients) gradient.dispose();
        // The next batch finds these in the queue.
        queue.advance();
      }
      expect(found).toEqual(symmetric ? [3.5, 2, 4] : [4, 4, 4]);
      for (const each of [runner, nce, queue, model]) each.dispose();
    },
  );
});
