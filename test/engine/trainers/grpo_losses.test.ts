/** @file GRPO's losses against TRL's on the same log-probabilities (parity/grpo.py): loss, gradients, metrics. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile, gradients, HostTensor, sum, type Tensor } from "../../../src/tensor/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { uncertainTokens } from "../../../src/trainers/grpo/entropy.js";
import { grpoLoss, type GRPOLossOptions } from "../../../src/trainers/grpo/losses.js";
import { camelCaseKeys } from "../../../src/training/index.js";
import { largestDifference } from "../fixtures.js";

type Table = readonly (readonly number[])[];

interface Case {
  readonly options: Readonly<Record<string, unknown>> & { readonly old?: boolean };
  readonly loss: number;
  readonly gradient: Table;
  readonly entropy_gradient: Table | null;
  readonly metrics: Readonly<Record<string, number>>;
}

const fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../fixtures/grpo/losses.json"), "utf8"),
) as {
  readonly lengths: readonly number[];
  readonly logps: Table;
  readonly old: Table;
  readonly ref: Table;
  readonly entropies: Table;
  readonly advantages: readonly number[];
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly losses: readonly Case[];
};
const { lengths } = fixture;
const count = lengths.reduce((a, b) => a + b, 0);
/** Some filling at the end, as buckets have it. */
const size = count + 7;

/** The tokens of all rows, one row after the other. */
function flat(table: Table, filling: number): HostTensor {
  const values = table.flatMap((row, i) => row.slice(0, lengths[i]));
  return new HostTensor([...values, ...new Array<number>(size - count).fill(filling)], [size], "float32");
}

const perRow = (values: readonly number[]): Table =>
  lengths.map((n, i) => new Array<number>(n).fill(values[i]!));
const real = (values: readonly number[]): number[] => values.slice(0, count);
const expected = (table: Table): number[] => table.flatMap((row, i) => row.slice(0, lengths[i]));

let before = 0;
beforeAll(async () => {
  await loadTorch();
  before = liveTensors();
});
afterAll(() => expect(liveTensors()).toBe(before));

describe("the loss, its gradients and its metrics are TRL's", () => {
  it.each(fixture.losses.map((one) => [JSON.stringify(one.options), one] as const))("%s", async (_, one) => {
    const { old = true, ...given } = one.options;
    const all = camelCaseKeys({ ...fixture.defaults, ...given });
    const options = Object.fromEntries(
      Object.entries(all).filter(([, value]) => value !== null),
    ) as unknown as GRPOLossOptions & { readonly topEntropyQuantile: number; readonly entropyCoef: number };
    const program = compile((feeds: Record<string, Tensor>) => {
      const { logProbs, entropies } = feeds as { logProbs: Tensor; entropies: Tensor };
      const mask = feeds["mask"]!;
      const { topEntropyQuantile: share } = options;
      const chosen = share < 1 ? uncertainTokens(entropies, mask, share) : undefined;
      const loss = grpoLoss(
        {
          logProbs,
          oldLogProbs: feeds["oldLogProbs"],
          refLogProbs: feeds["refLogProbs"],
          advantages: feeds["advantages"]!,
          mask,
          chosen,
          rows: feeds["rows"]!,
          count: lengths.length,
          items: feeds["items"]!,
        },
        options,
      );
      const acting = chosen === undefined ? mask : mask.mul(chosen);
      const entropy = sum(entropies.mul(acting)).div(sum(acting));
      const value = loss.sum.div(loss.weight).sub(entropy.mul(options.entropyCoef));
      return { value, gradients: gradients(value, [logProbs, entropies]), metrics: { ...loss.metrics } };
    });
    const bySequence = options.importanceSamplingLevel === "sequence";
    const owners = lengths.flatMap((n, i) => new Array<number>(n).fill(i));
    const found = await program({
      logProbs: flat(fixture.logps, -3),
      ...(old && { oldLogProbs: flat(fixture.old, -2) }),
      refLogProbs: flat(fixture.ref, -9),
      entropies: flat(fixture.entropies, 5),
      advantages: flat(perRow(fixture.advantages), 0),
      mask: flat(perRow(lengths.map(() => 1)), 0),
      rows: new HostTensor([...owners, ...new Array<number>(size - count).fill(0)], [size], "int64"),
      items: new HostTensor([count], [], "float32"),
    });
    expect(found.value.item()).toBeCloseTo(one.loss, 5);
    const [ofLogProbs, ofEntropies] = found.gradients.map((gradient) => gradient.toNumbers());
    expect(largestDifference(real(ofLogProbs!), expected(one.gradient))).toBeLessThan(1e-5);
    expect(ofLogProbs!.slice(count).every((value) => value === 0)).toBe(true);
    if (one.entropy_gradient !== null)
      expect(largestDifference(real(ofEntropies!), expected(one.entropy_gradient))).toBeLessThan(1e-6);
    for (const [name, value] of Object.entries(one.metrics)) {
      if (["entropy", "entropy_coef", "policy_loss"].includes(name)) continue;
      // Of completions without a token TRL counts what these numbers are of others at a ratio of 1.
      const without = lengths.filter((n) => n === 0).length;
      const shared = name.endsWith("seq_mean") || (bySequence && name.endsWith("_mean"));
      const own = shared
        ? (value * lengths.length - (name.endsWith("seq_mean") ? without : 0)) / (lengths.length - without)
        : value;
      expect(found.metrics[name]?.item(), name).toBeCloseTo(own, 5);
    }
    for (const tensor of [found.value, ...found.gradients, ...Object.values(found.metrics)]) tensor.dispose();
    program.dispose();
  });
});
