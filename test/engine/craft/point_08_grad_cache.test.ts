/**
 * @file Point 8 of the semantics, GradCache: the value and every gradient are those of the batch in one piece, at any
 * chunk size, with dropout on.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  ContrastiveMemory,
  ContrastiveObjective,
  CRAFTCollator,
  InfoNCELoss,
  NegativeQueue,
  poolings,
  selfAlignViews,
  SelfAlignObjective,
  type CRAFTCollatorOptions,
  type InfoNCEOptions,
  type PairBatch,
  type PooledObjectiveOptions,
  type SelfAlignBatch,
} from "../../../src/craft/index.js";
import { AutoModelForCausalLM, type CausalLM } from "../../../src/models/index.js";
import { LoraModel } from "../../../src/peft/lora.js";
import { Random } from "../../../src/random.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { MicroBatchRunner } from "../../../src/training/micro_batch.js";
import type { Objective } from "../../../src/training/index.js";
import { largestDifference } from "../fixtures.js";
import { modelFolder, pairRows, sftRows } from "../training/tiny.js";

beforeAll(() => loadTorch());

const size = 16;
const dim = 6;
const pairs = 5;
const key = [7, 3] as const;

interface Setting {
  readonly name: string;
  readonly lora?: boolean;
  readonly nce?: Partial<InfoNCEOptions>;
  readonly collator?: CRAFTCollatorOptions;
  /** Hard negatives of each pair. */
  readonly negatives?: readonly number[];
  readonly queue?: boolean;
  readonly checkpointing?: boolean;
  /** Of embeddings. */
  readonly noise?: number;
}

const everything: Omit<Setting, "name"> = {
  nce: { symmetric: true, learnableTemperature: true, projectionDropout: 0.3 },
  negatives: [2, 0, 1, 3, 1],
  queue: true,
};
const settings: readonly Setting[] = [
  ...poolings.map((pooling) => ({ name: `pooling ${pooling}`, nce: { pooling } })),
  { name: "no head", nce: { projectionDim: null } },
  { name: "sides of two lengths", collator: { padTogether: false } },
  { name: "padding on the left", collator: { paddingSide: "left" }, nce: { pooling: "mean" } },
  { name: "everything", ...everything },
  { name: "everything, three lengths", ...everything, collator: { padTogether: false } },
  { name: "everything, with adapters", ...everything, lora: true },
  { name: "everything, blocks computed again", ...everything, checkpointing: true },
  { name: "everything, with noise on embeddings", ...everything, noise: 5 },
];

/** A model in float32 with dropout in its attention, or in adapters. */
async function dropoutModel(lora = false): Promise<{ model: CausalLM; adapters?: LoraModel }> {
  const json = JSON.parse(readFileSync(join(modelFolder, "config.json"), "utf8")) as Record<string, never>;
  const config = { ...json, attention_dropout: lora ? 0 : 0.3 };
  const model = await AutoModelForCausalLM.fromConfig(config, { dtype: "float32", seed: 3 });
  if (!lora) return { model };
  const targetModules = ["q_proj", "v_proj", "o_proj", "down_proj"];
  const adapters = LoraModel.create(model, { r: 2, loraDropout: 0.3, targetModules });
  const random = new Random(1, "adapters");
  for (const [name, loraB] of adapters.namedParameters()) {
    if (!name.includes("lora_B")) continue;
    const values = Array.from({ length: loraB.numel }, () => random.normal());
    loraB.set(DeviceTensor.fromHost(values, loraB.shape, "float32"));
  }
  return { model, adapters };
}

/** A queue of which a part is filled, one text of it a text of the batch. */
function newQueue(used: boolean | undefined, { anchorHash, positiveHash }: PairBatch | SelfAlignBatch) {
  if (used !== true) return undefined;
  const queue = new NegativeQueue({ size: 9, dim });
  const random = new Random(2, "queue");
  const numbers = Array.from({ length: 4 * dim }, () => random.normal() / 2);
  const other = {
    anchorHash: Int32Array.of(1, 2, 3, anchorHash[1]!),
    positiveHash: Int32Array.of(4, 5, positiveHash[0]!, 6),
  };
  queue.hold(numbers, other);
  queue.advance();
  return queue;
}

interface Outcome {
  readonly scalars: readonly number[];
  readonly gradients: readonly number[];
  /** What the run remembers. */
  readonly memory: readonly number[];
  /** The most rows that passed through the model at once. */
  readonly rows: number;
}

/** Notes how many rows the model is given. */
function watched(model: CausalLM): { model: CausalLM; rows: () => number } {
  let most = 0;
  const own = model.hiddenStates.bind(model);
  model.hiddenStates = (ids, options) => {
    most = Math.max(most, ids.shape[0]!);
    return own(ids, options);
  };
  return { model, rows: () => most };
}

async function run<Batch extends PairBatch | SelfAlignBatch>(
  { lora, nce: options, queue: queues, checkpointing = false, noise = 0 }: Setting,
  batch: Batch,
  make: (options: PooledObjectiveOptions) => Objective<Batch>,
  chunkSize: number | undefined,
  drawn: readonly [number, number] = key,
): Promise<Outcome> {
  const live = liveTensors();
  const { model: plain, adapters } = await dropoutModel(lora);
  const { model, rows } = watched(plain);
  model.neftuneNoiseAlpha = noise;
  const nce = new InfoNCELoss({ hiddenSize: size, projectionDim: dim, temperature: 0.5, ...options });
  const queue = newQueue(queues, batch);
  const memory = new ContrastiveMemory(options?.projectionDim === null ? size : dim, queue);
  const objective = make({ nce, memory, chunkSize });
  const named = [...(adapters ?? model).namedParameters(), ...nce.namedParameters("nce")];
  const parameters = named.map(([, parameter]) => parameter);
  const runner = new MicroBatchRunner(objective, { model, parameters, gradientCheckpointing: checkpointing });
  const terms = await runner.train(batch, drawn);
  queue?.advance();
  const results = Object.entries(terms).sort(([a], [b]) => (a < b ? -1 : 1));
  const outcome = {
    scalars: results.flatMap(([, { sum, weight, metrics }]) => [sum, weight, ...Object.values(metrics)]),
    gradients: results.flatMap(([, { gradients }]) => gradients.flatMap((g) => g.toNumbers())),
    memory: [
      ...(memory.reference.state().numbers?.["mean"] ?? []),
      ...(queue?.state().tensors?.["vectors"]?.toNumbers() ?? []),
    ],
    rows: rows(),
  };
  for (const [, { gradients }] of results) for (const gradient of gradients) gradient.dispose();
  runner.dispose();
  for (const owner of [nce, model, ...(queue === undefined ? [] : [queue])]) owner.dispose();
  adapters?.detach();
  expect(liveTensors()).toBe(live);
  return outcome;
}

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

function expectSame(found: Outcome, expected: Outcome): void {
  for (const part of ["scalars", "gradients", "memory"] as const)
    expect(largestDifference(found[part], expected[part]), part).toBeLessThanOrEqual(
      1e-5 * largest(expected[part]),
    );
}

function pairBatch({ collator = {}, negatives = [] }: Setting): PairBatch {
  const rows = pairRows(pairs, 3, 9, 4).map((pair, i) => ({
    ...pair,
    input_ids_neg: pairRows(negatives[i] ?? 0, 3, 12, 20 + i).map(({ input_ids: ids }) => ids),
  }));
  return new CRAFTCollator({ padToMultipleOf: 1, ...collator }).collatePairs(rows);
}

describe("a batch of pairs in chunks", () => {
  it.each(settings)("$name", async (setting) => {
    const batch = pairBatch(setting);
    const make = (options: PooledObjectiveOptions) => new ContrastiveObjective(options);
    const expected = await run(setting, batch, make, undefined);
    expect(largest(expected.gradients)).toBeGreaterThan(1e-2);
    for (const chunkSize of [1, 3, pairs - 1, pairs, 100]) {
      const found = await run(setting, batch, make, chunkSize);
      expectSame(found, expected);
      expect(found.rows).toBeLessThanOrEqual(2 * chunkSize);
    }
  });

  it("differs where other random numbers are drawn, and where there are none", async () => {
    for (const lora of [false, true]) {
      const setting = { name: "", lora };
      const batch = pairBatch(setting);
      const make = (options: PooledObjectiveOptions) => new ContrastiveObjective(options);
      const [expected, other] = [
        await run(setting, batch, make, 2),
        await run(setting, batch, make, 2, [7, 4]),
      ];
      const scale = largest(expected.gradients);
      expect(largestDifference(other.gradients, expected.gradients)).toBeGreaterThan(0.05 * scale);
      expect(Math.abs(other.scalars[0]! - expected.scalars[0]!)).toBeGreaterThan(1e-2);
    }
  });
});

describe("rows that are their own pairs in chunks", () => {
  const cases = selfAlignViews.flatMap((views) =>
    [false, true].map((lora) => ({ name: `${views}${lora ? ", with adapters" : ""}`, views, lora })),
  );
  it.each(cases)("$name", async ({ views, lora }) => {
    const nce = { ...everything.nce, pooling: "mean" as const };
    const setting: Setting = { name: "", lora, nce, queue: true };
    const collator = new CRAFTCollator({ padToMultipleOf: 1, selfAlignViews: views });
    const batch = collator.collateSelfAlign(sftRows(pairs, 4, 9));
    const make = (options: PooledObjectiveOptions) => new SelfAlignObjective({ ...options, views });
    const expected = await run(setting, batch, make, undefined);
    for (const chunkSize of [1, 3, pairs - 1, pairs]) {
      const found = await run(setting, batch, make, chunkSize);
      expectSame(found, expected);
      expect(found.rows).toBeLessThanOrEqual(chunkSize);
    }
  });
});
