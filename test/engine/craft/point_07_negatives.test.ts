/** @file Point 7 of the semantics, negatives: what a pair is contrasted with, and what not. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { CRAFTSFTOptions } from "../../../src/craft/index.js";
import { InfoNCELoss, requireNegatives } from "../../../src/craft/losses/index.js";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { constant, evaluate, type Tensor } from "../../../src/tensor/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { largestDifference, need, readTensors } from "../fixtures.js";
import {
  modelFolder,
  pairRows,
  readLog,
  temporaryFolders,
  tinyModel,
  type TokenPair,
} from "../training/tiny.js";
import { addTotals, mixed, norm, Reference, type Total } from "./trainer_reference.js";
import { craftTrainer, strategies, train } from "./trainer_runs.js";
import { last, sides, watched, type Seen } from "./trainer_seen.js";

beforeAll(() => loadTorch());
const newFolder = temporaryFolders();

const item = async (x: Tensor): Promise<number> => {
  using value = await evaluate(x);
  return value.item();
};
const numbers = async (x: Tensor): Promise<number[]> => {
  using value = await evaluate(x);
  return value.toNumbers();
};
const plain = { hiddenSize: 2, projectionDim: null } as const;

describe("pairs that say the same", () => {
  const pairs = constant([
    [1, 0],
    [0.8, 0.6],
    [0, 1],
  ]);
  const hashes = (anchor: number[], positive: number[]) => ({
    anchorHash: constant(anchor, "int32"),
    positiveHash: constant(positive, "int32"),
  });

  it("are no negatives of each other", async () => {
    const nce = new InfoNCELoss({ ...plain, temperature: 1 });
    const { sum, logits } = nce.forwardFromPooled(pairs, pairs, { hashes: hashes([1, 2, 3], [7, 8, 7]) });
    expect((await numbers(logits)).map((x) => Number(x.toFixed(4)))).toEqual([
      ...[1, 0.8, -Infinity],
      ...[0.8, 1, 0.6],
      ...[-Infinity, 0.6, 1],
    ]);
    const expected =
      Math.log(1 + Math.exp(-0.2)) +
      Math.log(1 + Math.exp(-0.2) + Math.exp(-0.4)) +
      Math.log(1 + Math.exp(-0.4));
    expect(await item(sum)).toBeCloseTo(expected, 5);
  });

  it("do not count, where a pair is left with no negative: the mean is that of the others", async () => {
    const nce = new InfoNCELoss({ ...plain, temperature: 1 });
    // Positive 0 equals all others for anchor 0 only: they are the very text of that anchor.
    const { sum, weight, accuracy } = nce.forwardFromPooled(pairs, pairs, {
      hashes: hashes([7, 2, 3], [4, 7, 7]),
    });
    expect(await item(weight)).toBe(2);
    expect(await item(accuracy)).toBe(1);
    expect(await item(sum)).toBeCloseTo(Math.log(1 + Math.exp(-0.2)) + Math.log(1 + Math.exp(-1)), 5);
  });

  it("give NaN, not 0, where no pair has a negative, and an error on the host", async () => {
    const nce = new InfoNCELoss(plain);
    const { sum, weight, accuracy } = nce.forwardFromPooled(pairs, pairs, {
      hashes: hashes([1, 1, 1], [5, 6, 7]),
    });
    expect(await item(sum.div(weight))).toBeNaN();
    expect(await item(accuracy)).toBeNaN();
    const batch = { anchorHash: Int32Array.of(1, 1, 1), positiveHash: Int32Array.of(5, 6, 7) };
    expect(() => requireNegatives(batch, "pairs 1 to 3")).toThrow(
      /pairs 1 to 3: none of its 3 pairs has a negative/,
    );
  });

  it("are looked for on the host by the same rule", async () => {
    // All assignments of two texts to the four sides of two pairs.
    const sides = Array.from({ length: 16 }, (_, bits) => [0, 1, 2, 3].map((i) => (bits >> i) & 1));
    const nce = new InfoNCELoss(plain);
    for (const [a0, a1, p0, p1] of sides as [number, number, number, number][]) {
      const { weight } = nce.forwardFromPooled(pairs.slice(0, 0, 2), pairs.slice(0, 0, 2), {
        hashes: hashes([a0, a1], [p0, p1]),
      });
      const check = (): void =>
        requireNegatives({ anchorHash: Int32Array.of(a0, a1), positiveHash: Int32Array.of(p0, p1) });
      if ((await item(weight)) > 0) expect(check).not.toThrow();
      else expect(check).toThrow(/none of its 2 pairs/);
    }
  });
});

interface Pair extends TokenPair {
  readonly input_ids_neg?: readonly (readonly number[])[];
}

/** Pairs with so many hard negatives each. */
const withNegatives = (counts: readonly number[]): Pair[] =>
  pairRows(counts.length, 3, 7).map((pair, i) => ({
    ...pair,
    input_ids_neg: pairRows(counts[i]!, 3, 12, 40 + i).map(({ input_ids: ids }) => ids),
  }));

/**
 * Runs with a learning rate of 0 and the contrastive loss alone, so that all steps have the same weights and AdamW's
 * first moment is the gradient of the step.
 */
async function measured(contrastiveDataset: readonly Pair[], options: CRAFTSFTOptions = {}) {
  const seen: Seen[] = [];
  const windows: Seen[][] = [];
  const outputDir = newFolder();
  const model = await tinyModel();
  const trainer = craftTrainer(
    model,
    outputDir,
    {
      perDeviceTrainBatchSize: 2,
      craftContrastiveBatchSize: 3,
      gradientAccumulationSteps: 3,
      craftAlpha: 0,
      craftBeta: 0.4,
      craftTemperature: 0.5,
      learningRate: 0,
      adamBeta1: 0,
      maxGradNorm: 0,
      maxSteps: 4,
      saveStrategy: "steps",
      saveSteps: 1,
      ...options,
    },
    {
      contrastiveDataset,
      dataCollator: watched(seen),
      callbacks: [{ onStepEnd: () => windows.push(seen.splice(0)) }],
    },
  );
  await trainer.train();
  const wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
  const reference = new Reference(wide, trainer.infoNCE);
  const expectStep = (step: number, expected: Total) => {
    const entry = readLog(outputDir)[step]!;
    expect(entry["loss/craft_contrast"], `step ${step + 1}`).toBeCloseTo(expected.sum / expected.weight, 5);
    const gradient = mixed([[1, expected]]);
    const moments = readTensors(join(outputDir, `checkpoint-${step + 1}`, "optimizer.safetensors"));
    for (const [name, values] of gradient) {
      const found = need(moments, `exp_avg.${name}`).values;
      expect(largestDifference(found, values), `${name}, step ${step + 1}`).toBeLessThanOrEqual(
        2e-6 * norm(gradient),
      );
    }
  };
  return {
    contrastive: windows.map((window) => window.filter(({ kind }) => kind === "contrastive")),
    reference,
    expectStep,
    dispose: () => {
      reference.dispose();
      for (const each of [wide, model, trainer.infoNCE]) each.dispose();
    },
  };
}

describe("hard negatives in a run", () => {
  it.each([
    { name: "as many for each pair", counts: [2, 2, 2, 2, 2, 2, 2] },
    { name: "of some pairs", counts: [3, 0, 1, 0, 2, 0, 0] },
  ])("$name", async ({ counts }) => {
    const { contrastive, reference, expectStep, dispose } = await measured(withNegatives(counts));
    for (const [step, batches] of contrastive.entries()) {
      const totals: Total[] = [];
      for (const batch of batches) {
        const lists = batch.rows.flatMap((row) => (row as Pair).input_ids_neg ?? []);
        totals.push(await reference.pairs(sides(batch), { negatives: lists.map(last) }));
      }
      expectStep(step, addTotals(totals));
    }
    expect(contrastive.map((batches) => batches.length)).toEqual([2, 2, 2, 2]);
    dispose();
  });

  it("that say what the pair says are none", async () => {
    const [first, second, third] = pairRows(3, 3, 7) as [Pair, Pair, Pair];
    const rows = [{ ...first, input_ids_neg: [second.input_ids_tgt, third.input_ids] }, second, third];
    const { contrastive, reference, expectStep, dispose } = await measured(rows, { maxSteps: 1 });
    const text = (ids: ArrayLike<number>): string => Array.from(ids).join();
    const totals: Total[] = [];
    for (const batch of contrastive[0]!) {
      const negatives = [last(second.input_ids_tgt), last(third.input_ids)];
      // The positive of the second pair, and the anchor of the third one, stand among the negatives too.
      const own = batch.rows.map((row) => [text((row as Pair).input_ids), text((row as Pair).input_ids_tgt)]);
      const allowed = (i: number, j: number) => j < 3 || !own[i]!.includes(text(negatives[j - 3]!.ids));
      totals.push(await reference.pairs(sides(batch), { negatives, allowed }));
    }
    expectStep(0, addTotals(totals));
    dispose();
  });

  it("count in evaluations", async () => {
    const model = await tinyModel();
    const evalPairs = withNegatives([1, 0, 2, 1, 1]);
    const options = { craftTemperature: 0.5, craftContrastiveBatchSize: 5 };
    const trainer = craftTrainer(model, newFolder(), options, { contrastiveEvalDataset: evalPairs });
    const { eval_contrastive_loss: loss } = await trainer.evaluate();
    const wide = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
    const reference = new Reference(wide, trainer.infoNCE);
    const batch = evalPairs.map(({ input_ids: a, input_ids_tgt: b }) => [last(a), last(b)] as const);
    const negatives = evalPairs.flatMap(({ input_ids_neg: lists = [] }) => lists.map(last));
    const { sum, weight } = await reference.pairs(batch, { negatives });
    expect(loss).toBeCloseTo(sum / weight, 5);
    reference.dispose();
    for (const each of [wide, model, trainer.infoNCE]) each.dispose();
  });

  it("make batches of one pair", async () => {
    const { contrastive, reference, expectStep, dispose } = await measured(withNegatives([2, 1, 2]), {
      craftContrastiveBatchSize: 1,
    });
    const totals: Total[] = [];
    for (const batch of contrastive[0]!) {
      expect(batch.rows).toHaveLength(1);
      const negatives = (batch.rows[0] as Pair).input_ids_neg!.map(last);
      totals.push(await reference.pairs(sides(batch), { negatives }));
    }
    expectStep(0, addTotals(totals));
    dispose();
  });
});

describe("the queue in a run", () => {
  it("offers the positives of earlier steps, without those that say the same as the pair", async () => {
    const rows = pairRows(7, 3, 7);
    const { contrastive, reference, expectStep, dispose } = await measured(rows, {
      craftNegativeStrategy: "queue",
      craftNegativeQueueSize: 8,
    });
    let stored: TokenPair[] = [];
    const text = (ids: ArrayLike<number>): string => Array.from(ids).join();
    let left = 0;
    for (const [step, batches] of contrastive.entries()) {
      const totals: Total[] = [];
      for (const batch of batches) {
        const pairs = batch.rows as readonly TokenPair[];
        // Each pair comes again in later epochs.
        const isOwn = (i: number, j: number) => text(pairs[i]!.input_ids) === text(stored[j]!.input_ids);
        const allowed = (i: number, j: number) => j < pairs.length || !isOwn(i, j - pairs.length);
        left += stored.filter((_, j) => pairs.some((_, i) => isOwn(i, j))).length;
        const texts = stored.map(({ input_ids_tgt: ids }) => last(ids));
        totals.push(await reference.pairs(sides(batch), { stored: texts, allowed }));
      }
      expectStep(step, addTotals(totals));
      stored = [...stored, ...batches.flatMap(({ rows: more }) => more as readonly TokenPair[])].slice(-8);
    }
    expect(stored).toHaveLength(8);
    expect(left).toBeGreaterThan(0);
    dispose();
  });

  it.each(strategies)("goes on from a checkpoint as it was, bit for bit, with %s", async (craftStrategy) => {
    const options: CRAFTSFTOptions = {
      craftStrategy,
      craftNegativeStrategy: "queue",
      craftNegativeQueueSize: 9,
      craftUseGradcache: true,
      craftGradcacheChunkSize: 2,
      craftProjectionDropout: 0.2,
      maxSteps: 5,
      saveStrategy: "steps",
      saveSteps: 2,
    };
    const through = await train(newFolder, options);
    const folder = newFolder();
    const stop = {
      onStepEnd: ({ step }: { readonly step: number }) => {
        if (step === 3) throw new Error("stopped");
      },
    };
    await expect(train(() => folder, options, { callbacks: [stop] })).rejects.toThrow("stopped");
    const resumed = await train(() => folder, { ...options, resumeFromCheckpoint: true });
    expect(resumed.weights).toEqual(through.weights);
    expect(resumed.log).toEqual(through.log);
    for (const file of ["carried.safetensors", "craft.safetensors", "optimizer.safetensors"]) {
      const [a, b] = [through.outputDir, folder].map((run) => readFileSync(join(run, "checkpoint-4", file)));
      expect(a!.equals(b!), file).toBe(true);
    }
    const { values } = need(
      readTensors(join(folder, "checkpoint-4", "carried.safetensors")),
      "negative_queue.vectors",
    );
    expect(values.filter((value) => value !== 0).length).toBeGreaterThan(60);
    // Without the queue the run is another one.
    const { craftNegativeStrategy: _strategy, craftNegativeQueueSize: _size, ...others } = options;
    expect((await train(newFolder, others)).weights).not.toEqual(through.weights);
  });
});
