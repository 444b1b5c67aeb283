/**
 * @file Point 1 of the semantics in float64: the gradient of every window is alpha * g_sft + (1 - alpha) *
 * g_contrastive, whatever the accumulation, beta and length strategy, in short windows too, for pairs and for
 * self-align, with adapters and without.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ContrastiveMemory,
  ContrastiveObjective,
  CRAFTMixedDataLoader,
  InfoNCELoss,
  lengthStrategies,
  makeCraftDatasets,
  SelfAlignObjective,
  type CraftStrategy,
  type LengthStrategy,
} from "../../../src/craft/index.js";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { LoraModel } from "../../../src/peft/lora.js";
import { Random } from "../../../src/random.js";
import { Parameter } from "../../../src/tensor/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { SFTObjective } from "../../../src/trainers/sft/objective.js";
import { FixedMixture, type Mixture, type TaggedBatch } from "../../../src/training/index.js";
import { JointWindow, planJointly } from "../../../src/training/joint_window.js";
import { MicroBatchRunner } from "../../../src/training/micro_batch.js";
import { Window } from "../../../src/training/window.js";
import { largestDifference, need } from "../fixtures.js";
import { modelFolder, pairRows, sftRows } from "../training/tiny.js";
import { addTotals, mixed, norm, Reference, type Total } from "./trainer_reference.js";
import { plainRow, sides, watched, type Seen } from "./trainer_seen.js";

beforeAll(() => loadTorch());

/** Of one length, so that few programs are built, with different numbers of labels. */
const rows = sftRows(7, 6, 6).map(({ input_ids, labels }, i) => ({
  input_ids,
  labels: labels.map((label, place) => (place === 3 && i % 3 === 0 ? -100 : label)),
}));
const pairs = pairRows(8, 4, 4).map(({ input_ids, input_ids_tgt }) => ({
  input_ids,
  input_ids_tgt: [...input_ids_tgt, 4, 5, 6, 7].slice(0, 4),
}));

const wide = ({ value }: Parameter): Parameter =>
  new Parameter(DeviceTensor.fromHost(value.toNumbers(), value.shape, "float64"));

/** Everything in float64, and what is trained by name. */
async function build(adapters: boolean) {
  const model = await AutoModelForCausalLM.fromPretrained(modelFolder, { dtype: "float64" });
  if (adapters) {
    const random = new Random(3, "adapters");
    const drawn = (shape: readonly number[]): DeviceTensor =>
      DeviceTensor.fromHost(
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal() / 3),
        shape,
        "float64",
      );
    const lora = LoraModel.create(model, { r: 2 });
    const own = new Set(lora.parameters());
    model.replaceParameters((parameter) => {
      if (!own.has(parameter)) return undefined;
      parameter.dispose();
      return new Parameter(drawn(parameter.shape));
    });
  }
  const nce = new InfoNCELoss({ hiddenSize: 16, projectionDim: 4, temperature: 0.5 });
  nce.replaceParameters((parameter) => {
    const replacement = wide(parameter);
    parameter.dispose();
    return replacement;
  });
  const named = [...model.namedParameters(), ...nce.namedParameters("craft_loss")].filter(
    ([, { trainable }]) => trainable,
  );
  const memory = new ContrastiveMemory(4);
  const options = {
    model,
    parameters: named.map(([, parameter]) => parameter),
    gradientCheckpointing: false,
  };
  const runners = new Map<string, MicroBatchRunner<never>>(
    [
      new SFTObjective(),
      new ContrastiveObjective({ nce, memory }),
      new SelfAlignObjective({ nce, memory, views: "prompt_response" }),
    ].map((objective) => [objective.name, new MicroBatchRunner<never>(objective, options)]),
  );
  const reference = new Reference(model, nce);
  const known = new Map<string, Total>();
  const remembered = async (name: string, compute: () => Promise<Total>): Promise<Total> => {
    const total = known.get(name) ?? (await compute());
    known.set(name, total);
    return total;
  };
  return {
    named,
    runners,
    /** The sums of each task over a window, computed text by text. */
    totals: async (window: readonly Seen[]) => {
      const sft: Total[] = [];
      const contrastive: Total[] = [];
      for (const batch of window) {
        if (batch.kind !== "contrastive")
          for (const row of batch.rows.map(plainRow))
            sft.push(await remembered(JSON.stringify(row), () => reference.tokens([row])));
        if (batch.kind === "sft") continue;
        const both = sides(batch);
        contrastive.push(await remembered(JSON.stringify(both), () => reference.pairs(both)));
      }
      return { sft, contrastive };
    },
    dispose: () => {
      reference.dispose();
      for (const runner of runners.values()) runner.dispose();
      nce.dispose();
      model.dispose();
    },
  };
}

interface Setting {
  readonly strategy: CraftStrategy;
  readonly accumulation: number;
  readonly beta: number;
  readonly lengthStrategy: LengthStrategy;
  /** Default 5. */
  readonly count?: number;
}

/** Collates an epoch; the kinds and rows of each window's micro-batches come with it. */
async function* windows({ strategy, accumulation, beta, lengthStrategy, count = 5 }: Setting) {
  const seen: Seen[] = [];
  const collator = watched(seen);
  collator.complete({ padToMultipleOf: 1 });
  const bundle = makeCraftDatasets<object, object>(
    rows,
    strategy === "self_align" ? { strategy } : { contrastiveDataset: pairs.slice(0, count) },
  );
  const loader = new CRAFTMixedDataLoader({
    bundle,
    collator,
    collateSft: collator.collateSft,
    batchSize: 2,
    gradientAccumulationSteps: accumulation,
    beta,
    lengthStrategy,
  });
  for await (const window of loader) yield { window, seen: seen.splice(0) };
}

const alphas = [0.3, 0.85];

describe.each([
  { strategy: "paired_dataset", joint: false },
  { strategy: "self_align", joint: false },
  { strategy: "self_align", joint: true },
] as const)("$strategy, with one backward pass for both losses: $joint", ({ strategy, joint }) => {
  describe.each([false, true])("with adapters: %s", (adapters) => {
    let parts: Awaited<ReturnType<typeof build>>;
    beforeAll(async () => {
      parts = await build(adapters);
    });
    afterAll(() => parts.dispose());

    /** Measures the tasks' gradients too, or not. */
    function jointWindow(batches: readonly TaggedBatch[], mixture: Mixture, measures: boolean): JointWindow {
      const weights = batches.map(({ objective, batch }) =>
        parts.runners.get(objective)!.objective.weights?.(batch as never),
      );
      return new JointWindow(planJointly(weights, mixture)!, measures);
    }

    async function check(setting: Setting, alpha: number): Promise<readonly number[]> {
      const sizes: number[] = [];
      for await (const { window: batches, seen } of windows(setting)) {
        sizes.push(batches.length);
        const mixture = new FixedMixture({ sft: alpha, contrastive: 1 - alpha });
        const window = joint ? jointWindow(batches, mixture, sizes.length % 2 === 0) : new Window();
        for (const { objective, batch } of batches)
          await window.train(parts.runners.get(objective)!, batch as never, [1, 1]);
        const { gradients, divisor, norm: length, taskNorms } = await window.mix(mixture);
        window.dispose();
        const { sft, contrastive } = await parts.totals(seen);
        const [ofTokens, ofPairs] = [addTotals(sft), addTotals(contrastive)];
        const among = (gradient: ReadonlyMap<string, readonly number[]>) =>
          new Map(parts.named.map(([name]) => [name, need(gradient, name)]));
        const trained = among(
          mixed([
            [alpha, ofTokens],
            [1 - alpha, ofPairs],
          ]),
        );
        if (!joint || sizes.length % 2 === 0) {
          expect(taskNorms["sft"]).toBeCloseTo(norm(among(mixed([[1, ofTokens]]))), 9);
          expect(taskNorms["contrastive"]).toBeCloseTo(norm(among(mixed([[1, ofPairs]]))), 9);
        } else expect(taskNorms).toEqual({});
        expect(length).toBeCloseTo(norm(trained), 9);
        const size = norm(trained);
        for (const [i, [name]] of parts.named.entries()) {
          using gradient = gradients[i]!;
          const found = gradient.toNumbers().map((value) => value / divisor);
          expect(
            largestDifference(found, need(trained, name)),
            `${name}, window ${sizes.length} of ${JSON.stringify(setting)}`,
          ).toBeLessThanOrEqual(1e-9 * size);
        }
      }
      return sizes;
    }

    it.each([1, 2, 3, 4, 5, 6, 7, 8])("in windows of %i micro-batches", async (accumulation) => {
      const lengths = strategy === "self_align" ? (["oversample"] as const) : lengthStrategies;
      const sizes: number[] = [];
      for (const lengthStrategy of lengths.filter((each) => each !== "error"))
        for (const [i, beta] of (lengthStrategy === "auto_beta" ? [0.5] : [0.25, 0.5, 0.75]).entries())
          sizes.push(...(await check({ strategy, accumulation, beta, lengthStrategy }, alphas[i % 2]!)));
      if (accumulation > 3) expect(Math.min(...sizes)).toBeLessThan(accumulation);
    });

    if (strategy === "paired_dataset")
      it("of datasets that must end together", async () => {
        const setting = { strategy, accumulation: 4, beta: 0.5, lengthStrategy: "error", count: 8 } as const;
        expect(await check(setting, 0.6)).toEqual([4, 4]);
      });

    it("leaves no tensor behind", async () => {
      const setting = { strategy, accumulation: 2, beta: 0.5, lengthStrategy: "oversample" } as const;
      await check(setting, 0.5);
      const live = liveTensors();
      await check(setting, 0.5);
      expect(liveTensors()).toBe(live);
    });
  });
});
