/** @file The token loss with smoothed labels against transformers' LabelSmoother (parity/label_smoothing.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, it } from "vitest";
import { labelPositions } from "../../../src/data/index.js";
import { tokenLoss } from "../../../src/nn/index.js";
import { compile, gradients, HostTensor, type Tensor } from "../../../src/tensor/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose } from "../fixtures.js";

interface Fixture {
  readonly shape: readonly [number, number, number];
  readonly vocabulary: number;
  readonly hidden: readonly number[];
  readonly weight: readonly number[];
  readonly labels: readonly (readonly number[])[];
  readonly cases: readonly {
    readonly epsilon: number;
    readonly loss: number;
    readonly hidden_gradient: readonly number[];
    readonly weight_gradient: readonly number[];
  }[];
}
const path = join(import.meta.dirname, "../../fixtures/training/label_smoothing.json");
const fixture = JSON.parse(readFileSync(path, "utf8")) as Fixture;

beforeAll(() => loadTorch());

const chunks = [3, 128];
it.each(fixture.cases.flatMap((one) => chunks.map((chunk) => ({ ...one, chunk }))))(
  "spreads $epsilon of each label, $chunk rows at a time",
  async ({ epsilon, chunk, loss, hidden_gradient: hiddenGradient, weight_gradient: weightGradient }) => {
    const [rows, length, size] = fixture.shape;
    const { index, target, weight } = labelPositions({
      labels: Int32Array.from(fixture.labels.flat()),
      attentionMask: new Int32Array(rows * length).fill(1),
      shape: [rows, length],
    });
    const run = compile(
      (hidden: Tensor, head: Tensor, positions: Tensor, labels: Tensor, weights: Tensor) => {
        const sum = tokenLoss({
          hidden,
          weight: head,
          positions,
          labels,
          weights,
          smoothing: epsilon,
          chunk,
        });
        const value = sum.div(weights.sum());
        const [dHidden, dHead] = gradients(value, [hidden, head]);
        return { value, dHidden: dHidden!, dHead: dHead! };
      },
    );
    const head = [fixture.vocabulary, size];
    const result = await run(
      new HostTensor([...fixture.hidden], fixture.shape, "float32"),
      new HostTensor([...fixture.weight], head, "float32"),
      new HostTensor(index, [index.length], "int64"),
      new HostTensor(target, [target.length], "int64"),
      new HostTensor(weight, [weight.length], "float32"),
    );
    run.dispose();
    expectClose(result.value, { shape: [], values: [loss] }, "the loss");
    expectClose(
      result.dHidden,
      { shape: fixture.shape, values: hiddenGradient },
      "the hidden states' gradient",
    );
    expectClose(result.dHead, { shape: head, values: weightGradient }, "the head's gradient");
    for (const tensor of Object.values(result)) tensor.dispose();
  },
);
