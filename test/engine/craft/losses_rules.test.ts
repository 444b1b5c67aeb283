/** @file InfoNCE by hand: small numbers, limits, and what is refused. */
import { beforeAll, describe, expect, it } from "vitest";
import { combineCraftLosses, InfoNCELoss, infoNCE } from "../../../src/craft/losses/index.js";
import {
  compile,
  constant,
  evaluate,
  gradients,
  Parameter,
  tensor,
  withRandomKey,
  type Tensor,
} from "../../../src/tensor/index.js";
import { DeviceTensor } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";

beforeAll(() => loadTorch());

const item = async (x: Tensor): Promise<number> => {
  using value = await evaluate(x);
  return value.item();
};
const numbers = async (x: Tensor): Promise<number[]> => {
  using value = await evaluate(x);
  return value.toNumbers();
};
const plain = { hiddenSize: 2, projectionDim: null } as const;

describe("two pairs by hand", () => {
  // Unit vectors at angles: cos(a0, p0) = 1, cos(a0, p1) = 0, cos(a1, p0) = 0.6, cos(a1, p1) = 0.8.
  const anchor = constant([
    [1, 0],
    [0.6, 0.8],
  ]);
  const positive = constant([
    [2, 0],
    [0, 3],
  ]);

  it("adds up log(1 + e^((other - own) / t)) over the pairs", async () => {
    const nce = new InfoNCELoss({ ...plain, temperature: 0.5 });
    const { sum, weight, accuracy } = nce.forwardFromPooled(anchor, positive);
    // t = 0.5: log(1 + e^-2) + log(1 + e^-0.4)
    expect(await item(sum)).toBeCloseTo(0.126928 + 0.513015, 5);
    expect(await item(weight)).toBe(2);
    expect(await item(accuracy)).toBe(1);
  });

  it("takes half from each side when symmetric", async () => {
    const nce = new InfoNCELoss({ ...plain, temperature: 0.5, symmetric: true });
    const { sum, weight } = nce.forwardFromPooled(anchor, positive);
    // The other way p0 sees 1 and 0.6, p1 sees 0 and 0.8: log(1 + e^-0.8) + log(1 + e^-1.6)
    expect(await item(sum)).toBeCloseTo((0.126928 + 0.513015 + 0.371101 + 0.183901) / 2, 5);
    expect(await item(weight)).toBe(2);
  });

  it("divides cosines by the temperature, down to the lowest and up to the highest", async () => {
    const cold = new InfoNCELoss({ ...plain, temperature: 0.01 }).forwardFromPooled(positive, anchor);
    // p0 sees a0 at 1 and a1 at 0.6, p1 sees 0.8 and 0: the losses are e^-40 and e^-80, and the sum is no NaN.
    expect(await item(cold.sum)).toBeCloseTo(0, 9);
    const wrong = new InfoNCELoss({ ...plain, temperature: 0.01 });
    const swapped = wrong.forwardFromPooled(
      anchor,
      constant([
        [0, 1],
        [1, 0],
      ]),
    );
    // a0 is 1 nearer to p1 than to its own p0, and a1 0.2: 100 + (20 + log(1 + e^-20))
    expect(await item(swapped.sum)).toBeCloseTo(120, 4);
    const hot = new InfoNCELoss({ ...plain, temperature: 100 }).forwardFromPooled(anchor, positive);
    expect(await item(hot.sum)).toBeCloseTo(Math.log1p(Math.exp(-0.01)) + Math.log1p(Math.exp(-0.002)), 6);
  });

  it("counts a tie as wrong, so that vectors which have collapsed into one score 0", async () => {
    const nce = new InfoNCELoss(plain);
    const { accuracy, sum } = nce.forwardFromPooled(
      constant([
        [1, 2],
        [1, 2],
      ]),
      constant([
        [1, 2],
        [1, 2],
      ]),
    );
    expect(await item(accuracy)).toBe(0);
    expect(await item(sum)).toBeCloseTo(2 * Math.LN2, 5);
  });

  it("does not depend on the length of vectors, and adding the same negative again makes it larger", async () => {
    const nce = new InfoNCELoss({ ...plain, temperature: 0.5 });
    const alone = await item(nce.forwardFromPooled(anchor, positive).sum);
    expect(await item(nce.forwardFromPooled(anchor.mul(7), positive.mul(0.1)).sum)).toBeCloseTo(alone, 5);
    const more = nce.forwardFromPooled(anchor, positive, { negatives: constant([[0, 1]]) });
    // a0 sees 0 twice, a1 0.8 as own and as negative besides 0.6.
    const expected = Math.log(1 + 2 * Math.exp(-2)) + Math.log(2 + Math.exp(-0.4));
    expect(await item(more.sum)).toBeCloseTo(expected, 5);
  });

  it("computes in float32 from bfloat16 hidden states", async () => {
    const nce = new InfoNCELoss({ hiddenSize: 2, projectionDim: 3 });
    const hidden = (x: Tensor): Tensor => x.unsqueeze(1).to("bfloat16");
    const ones = constant([[1], [1]], "int64");
    const output = nce.forward({
      anchorHidden: hidden(anchor),
      anchorMask: ones,
      positiveHidden: hidden(positive),
      positiveMask: ones,
    });
    expect([output.sum, output.anchor, output.logits].map((x) => x.dtype)).toEqual(Array(3).fill("float32"));
    // The values of bfloat16 enter as they are: 0.6 and 0.8 have become 0.6016 and 0.8008.
    const rounded = constant([
      [1, 0],
      [0.6015625, 0.80078125],
    ]);
    expect(await item(output.sum)).toBeCloseTo(await item(nce.forwardFromPooled(rounded, positive).sum), 6);
  });
});

describe("the parameters of InfoNCELoss", () => {
  it("are all there after construction, with the head's initial values bounded as Xavier's", () => {
    using nce = new InfoNCELoss({ hiddenSize: 12, projectionDim: 4, learnableTemperature: true, seed: 3 });
    const shapes = [...nce.namedParameters()].map(([name, p]) => `${name} ${p.shape.join("x")} ${p.dtype}`);
    expect(shapes).toEqual([
      "projection_head.hidden.weight 12x12 float32",
      "projection_head.hidden.bias 12 float32",
      "projection_head.output.weight 4x12 float32",
      "projection_head.output.bias 4 float32",
      "log_temperature  float32",
    ]);
    const values = nce.projectionHead!.output.weight.value.toNumbers();
    const bound = Math.sqrt(6 / 16);
    const largest = Math.max(...values.map(Math.abs));
    expect(largest).toBeLessThanOrEqual(bound);
    expect(largest).toBeGreaterThan(0.8 * bound);
    expect(nce.projectionHead!.output.bias!.value.toNumbers()).toEqual([0, 0, 0, 0]);
    using again = new InfoNCELoss({ hiddenSize: 12, projectionDim: 4, seed: 3 });
    using other = new InfoNCELoss({ hiddenSize: 12, projectionDim: 4, seed: 4 });
    expect(again.projectionHead!.output.weight.value.toNumbers()).toEqual(values);
    expect(other.projectionHead!.output.weight.value.toNumbers()).not.toEqual(values);
    expect(again.parameters()).toHaveLength(4);
  });

  it("drop parts of the head in training only", async () => {
    using nce = new InfoNCELoss({ hiddenSize: 8, projectionDim: 4, projectionDropout: 0.5 });
    const x = constant([Array.from({ length: 8 }, (_, i) => i / 4 - 1)]);
    const embed = compile((key: Tensor) => withRandomKey(key, () => nce.project(x)));
    const draw = async (a: number, b: number): Promise<number[]> =>
      (await embed(tensor([a, b], "int32"))).toNumbers();
    const plain = await numbers(nce.project(x));
    const first = await draw(1, 2);
    expect(first).not.toEqual(plain);
    expect(await draw(1, 2)).toEqual(first);
    expect(await draw(3, 4)).not.toEqual(first);
    embed.dispose();
  });

  it("keep a learnable temperature in its range after a step, and give it a gradient outside", async () => {
    using nce = new InfoNCELoss({ ...plain, learnableTemperature: true, temperature: 0.01 });
    expect(nce.limitTemperature()).toBe(false);
    const log = nce.logTemperature!;
    log.set(DeviceTensor.full([], Math.log(0.002)));
    const { sum, temperature } = nce.forwardFromPooled(
      constant([
        [1, 0],
        [1, 0.1],
      ]),
      constant([
        [1, 0.2],
        [0, 1],
      ]),
    );
    expect(await item(temperature)).toBeCloseTo(0.002, 7);
    expect(Math.abs(await item(gradients(sum, [log])[0]!))).toBeGreaterThan(0.1);
    expect(nce.limitTemperature()).toBe(true);
    expect(nce.temperature).toBeCloseTo(0.01, 7);
    expect(nce.limitTemperature()).toBe(false);
    log.set(DeviceTensor.full([], 5));
    expect(nce.limitTemperature()).toBe(true);
    expect(nce.temperature).toBeCloseTo(100, 4);
    log.set(DeviceTensor.full([], NaN));
    expect(() => nce.limitTemperature()).toThrow(/craftTemperature = NaN/);
    expect(new InfoNCELoss(plain).limitTemperature()).toBe(false);
  });
});

describe("what is refused", () => {
  it.each([
    [{ temperature: 0.009 }, /craftTemperature = 0.009: must lie in \[0.01, 100\]/],
    [{ temperature: 101, learnableTemperature: true }, /craftTemperature = 101/],
    [{ temperature: NaN }, /craftTemperature = NaN/],
    [{ pooling: "max" }, /pooling = max/],
    [{ projectionDim: 0 }, /projectionDim = 0/],
    [{ projectionDim: 2.5 }, /projectionDim = 2.5/],
    [{ projectionDropout: 1 }, /projectionDropout = 1/],
    [{ hiddenSize: -1 }, /hiddenSize = -1/],
    [{ temprature: 1 }, /option temprature: there is no such option\. The options are hiddenSize,/],
  ])("%o", (options, message) => {
    expect(() => new InfoNCELoss({ hiddenSize: 2, ...(options as object) })).toThrow(message);
  });

  it("one pair alone, unless a negative is given", async () => {
    const nce = new InfoNCELoss({ ...plain, temperature: 1 });
    const one = constant([[1, 0]]);
    expect(() => nce.forwardFromPooled(one, one)).toThrow(
      /contrastive batch = 1: one pair alone has no negatives/,
    );
    const { sum, weight } = nce.forwardFromPooled(one, one, { negatives: constant([[0, 1]]) });
    expect(await item(sum)).toBeCloseTo(Math.log1p(Math.exp(-1)), 6);
    expect(await item(weight)).toBe(1);
  });

  it("sides that do not fit", () => {
    const nce = new InfoNCELoss(plain);
    const two = constant([
      [1, 0],
      [0, 1],
    ]);
    expect(() => nce.forwardFromPooled(two, constant([[1, 0]]))).toThrow(/got \[2, 2\], \[1, 2\]/);
    expect(() => nce.forwardFromPooled(constant([[1], [2]]), constant([[1], [2]]))).toThrow(/\[n, 2\]/);
    const allowed = constant([[1, 1]], "bool");
    expect(() => nce.forwardFromPooled(two, two, { allowed })).toThrow(/allowed must be for \[2, 2\]/);
    expect(() => infoNCE({ anchor: two, candidates: two.slice(0, 0, 1), inverseTemperature: 1 })).toThrow(
      /one pair/,
    );
  });
});

describe("combineCraftLosses", () => {
  let sft: Parameter;
  let contrastive: Parameter;
  beforeAll(() => {
    sft = new Parameter(DeviceTensor.full([], 3));
    contrastive = new Parameter(DeviceTensor.full([], 10));
  });

  it("is alpha times the one and 1 - alpha times the other, and so are the gradients", async () => {
    const loss = combineCraftLosses(sft.mul(sft), contrastive, 0.6);
    expect(await item(loss)).toBeCloseTo(0.6 * 9 + 0.4 * 10, 5);
    const [a, b] = gradients(loss, [sft, contrastive]);
    expect(await item(a!)).toBeCloseTo(0.6 * 6, 5);
    expect(await item(b!)).toBeCloseTo(0.4, 6);
  });

  it.each([-0.1, 1.1, NaN, Infinity])("refuses alpha %d", (alpha) => {
    expect(() => combineCraftLosses(sft, contrastive, alpha)).toThrow(
      /craftAlpha = .*must be a number from 0/,
    );
  });
});
