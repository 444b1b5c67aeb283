/** @file Log-probabilities of labels against PyTorch (parity/token_log_probs.py), and by central differences. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { tokenLogProbs, type TokenLogProbs } from "../../../src/nn/index.js";
import {
  collect,
  compile,
  countOperations,
  gradients,
  HostTensor,
  optimize,
  placeholder,
  type Tensor,
} from "../../../src/tensor/index.js";
import type { DType } from "../../../src/torch/dtype.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose } from "../fixtures.js";

interface Gradients {
  readonly hidden: readonly number[];
  readonly weight: readonly number[];
}
interface Fixture {
  readonly rows: number;
  readonly size: number;
  readonly vocabulary: number;
  readonly hidden: readonly number[];
  readonly weight: readonly number[];
  readonly positions: readonly number[];
  readonly labels: readonly number[];
  readonly of_log_probs: readonly number[];
  readonly of_entropy: readonly number[];
  readonly cases: readonly {
    readonly softcap: number | null;
    readonly temperature: number;
    readonly values: Readonly<Record<keyof TokenLogProbs, readonly number[]>>;
    readonly gradients: Gradients;
    readonly with_entropy: Gradients;
  }[];
}
const path = join(import.meta.dirname, "../../fixtures/nn/token_log_probs.json");
const fixture = JSON.parse(readFileSync(path, "utf8")) as Fixture;
const { rows, size, vocabulary, positions, labels } = fixture;
const n = labels.length;

beforeAll(() => loadTorch());

const feeds = (dtype: DType = "float32", hidden = fixture.hidden) =>
  [
    // Hidden states of a batch: [2, rows / 2, size].
    new HostTensor([...hidden], [2, rows / 2, size], dtype),
    new HostTensor([...fixture.weight], [vocabulary, size], dtype),
    HostTensor.from([...positions], "int64"),
    HostTensor.from([...labels], "int64"),
    new HostTensor([...fixture.of_log_probs], [n], dtype),
    new HostTensor([...fixture.of_entropy], [n], dtype),
  ] as const;
type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];

const cases = fixture.cases.flatMap((one) => [1, 3, 128].map((chunk) => ({ ...one, chunk })));

describe("tokenLogProbs", () => {
  it.each(cases)(
    "is PyTorch's for softcap $softcap and temperature $temperature, $chunk rows at a time",
    async ({ softcap, temperature, chunk, values, ...expected }) => {
      const options = { softcap: softcap ?? undefined, temperature, chunk };
      const run = compile((...[hidden, weight, at, label, ofLogProbs, ofEntropy]: Six) => {
        const input = { hidden, weight, positions: at, labels: label, ...options };
        const all = tokenLogProbs(input);
        const both = tokenLogProbs({ ...input, entropyGradient: true });
        const one = all.logProbs.mul(ofLogProbs).sum();
        const two = both.logProbs.mul(ofLogProbs).add(both.entropy.mul(ofEntropy)).sum();
        // Without `entropyGradient` nothing but the log-probabilities may pass a gradient on.
        const { logProbs: _logProbs, ...others } = all;
        const idle = Object.values(others).reduce((a, b) => a.add(b));
        return {
          all: { ...all },
          gradients: gradients(one.add(idle.sum()), [hidden, weight]),
          withEntropy: gradients(two, [hidden, weight]),
        };
      });
      const result = await run(...feeds());
      run.dispose();
      for (const [name, found] of Object.entries(result.all)) {
        expect(found.dtype).toBe("float32");
        expectClose(found, { shape: [n], values: values[name as keyof TokenLogProbs] }, name);
        found.dispose();
      }
      const found = { gradients: result.gradients, with_entropy: result.withEntropy };
      for (const which of ["gradients", "with_entropy"] as const) {
        const [hidden, weight] = found[which];
        const of = expected[which];
        expectClose(hidden!, { shape: [2, rows / 2, size], values: of.hidden }, `${which} of hidden`);
        expectClose(weight!, { shape: [vocabulary, size], values: of.weight }, `${which} of weight`);
        for (const tensor of found[which]) tensor.dispose();
      }
    },
  );

  it("has the gradient that central differences have", async () => {
    const value = (...[hidden, weight, at, label, ofLogProbs, ofEntropy]: Six): Tensor => {
      const options = { softcap: 4, temperature: 0.8, chunk: 4, entropyGradient: true };
      const input = { hidden, weight, positions: at, labels: label, ...options };
      const { logProbs, entropy } = tokenLogProbs(input);
      return logProbs.square().mul(ofLogProbs).add(entropy.square().mul(ofEntropy)).sum();
    };
    const run = compile(value);
    const slope = compile((...all: Six) => gradients(value(...all), [all[0]])[0]!);
    const gradient = await slope(...feeds("float64"));
    const step = 1e-6;
    const difference = async (i: number): Promise<number> => {
      const [up, down] = await Promise.all(
        [step, -step].map(async (by) => {
          const moved = fixture.hidden.map((x, k) => (k === i ? x + by : x));
          const found = await run(...feeds("float64", moved));
          const number = found.item();
          found.dispose();
          return number;
        }),
      );
      return (up! - down!) / (2 * step);
    };
    const expected: number[] = [];
    for (const i of [0, 5, 25, 44, 59]) expected.push(await difference(i));
    const found = gradient.toNumbers();
    [0, 5, 25, 44, 59].forEach((i, k) => expect(found[i]).toBeCloseTo(expected[k]!, 6));
    expect(expected.some((x) => Math.abs(x) > 0.01)).toBe(true);
    gradient.dispose();
    run.dispose();
    slope.dispose();
  });

  it("computes what is used: no gradient of a frozen head, no statistics", () => {
    const places = feeds().map(({ shape, dtype }, i) => placeholder({ shape, dtype }, String(i)));
    const [hidden, weight, at, label] = places as Six;
    const all = tokenLogProbs({ hidden, weight, positions: at, labels: label, chunk: 4 });
    const counted = (...outputs: Tensor[]) => countOperations(optimize(collect(places, outputs)));
    const value = all.logProbs.sum();
    // 7 labels in chunks of 4 are 2 chunks: logits; directions too; logits once more and the head's gradient.
    expect(counted(value)["mm"]).toBe(2);
    expect(counted(value, ...gradients(value, [hidden]))["mm"]).toBe(4);
    expect(counted(value, ...gradients(value, [hidden, weight]))["mm"]).toBe(8);
    expect(counted(value)).not.toHaveProperty("argmax");
    expect(counted(all.correct)).toHaveProperty("argmax");
  });
});
