/** @file AdamW against torch.optim.AdamW, and its groups against transformers' (parity/optim.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { AdamW, decayGroups } from "../../../src/optim/index.js";
import { Parameter } from "../../../src/tensor/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";

type Lists = readonly (readonly number[])[];

interface Case {
  readonly name: string;
  readonly shapes: readonly (readonly number[])[];
  readonly groups: readonly { readonly members: readonly number[]; readonly weightDecay: number }[];
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly divisor: number;
  readonly rates: readonly number[];
  readonly start: Lists;
  readonly steps: readonly Readonly<Record<"gradients" | "parameters" | "means" | "squares", Lists>>[];
}

const { adamw, decayed } = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../fixtures/optim/optim.json"), "utf8"),
) as { readonly adamw: readonly Case[]; readonly decayed: Readonly<Record<string, boolean>> };

beforeAll(() => loadTorch());

const parametersOf = ({ shapes, start }: Case): Parameter[] =>
  shapes.map((shape, i) => new Parameter(DeviceTensor.fromHost(start[i]!, shape, "float32")));
const optimizerOf = ({ groups, betas, eps }: Case, parameters: readonly Parameter[]): AdamW =>
  new AdamW(
    groups.map(({ members, weightDecay }) => ({
      parameters: members.map((i) => parameters[i]!),
      weightDecay,
    })),
    { betas, eps },
  );
/** Gradients of a step in the optimiser's order. */
const gradientsOf = ({ groups, shapes, steps }: Case, step: number): DeviceTensor[] =>
  groups
    .flatMap(({ members }) => members)
    .map((i) => DeviceTensor.fromHost(steps[step]!.gradients[i]!, shapes[i]!, "float32"));

/** Float32 rounding, and what it becomes where a sum of opposite numbers is small. */
function expectNumbers(actual: readonly number[], expected: readonly number[], what: string): void {
  const scale = Math.max(...expected.map(Math.abs));
  const worst = Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!)));
  expect(worst, what).toBeLessThanOrEqual(1e-6 * scale);
}

describe("AdamW against PyTorch", () => {
  it.each(adamw)("$name", (test) => {
    const parameters = parametersOf(test);
    const optimizer = optimizerOf(test, parameters);
    const order = test.groups.flatMap(({ members }) => members);
    test.steps.forEach((expected, step) => {
      optimizer.step(gradientsOf(test, step), test.rates[step]!, test.divisor);
      const { steps, means, squares } = optimizer.state();
      expect(steps).toBe(step + 1);
      parameters.forEach((p, i) =>
        expectNumbers(p.value.toNumbers(), expected.parameters[i]!, `parameter ${i} after step ${step + 1}`),
      );
      order.forEach((i, place) => {
        expectNumbers(means[place]!.toNumbers(), expected.means[i]!, `mean ${i} after step ${step + 1}`);
        expectNumbers(
          squares[place]!.toNumbers(),
          expected.squares[i]!,
          `square ${i} after step ${step + 1}`,
        );
      });
    });
    optimizer.dispose();
    for (const parameter of parameters) parameter.dispose();
  });

  it("goes on from saved moments as if it had not stopped", () => {
    const test = adamw[1]!;
    const through = parametersOf(test);
    const whole = optimizerOf(test, through);
    const stopped = parametersOf(test);
    const first = optimizerOf(test, stopped);
    for (let step = 0; step < 5; step++) whole.step(gradientsOf(test, step), test.rates[step]!);
    for (let step = 0; step < 2; step++) first.step(gradientsOf(test, step), test.rates[step]!);
    const second = optimizerOf(test, stopped);
    const [from, to] = [first.state(), second.state()];
    from.means.forEach((mean, i) => to.means[i]!.copyFrom(mean));
    from.squares.forEach((square, i) => to.squares[i]!.copyFrom(square));
    second.restore(from.steps);
    for (let step = 2; step < 5; step++) second.step(gradientsOf(test, step), test.rates[step]!);
    stopped.forEach((p, i) => expect(p.value.toNumbers()).toEqual(through[i]!.value.toNumbers()));
    for (const optimizer of [whole, first, second]) optimizer.dispose();
    for (const parameter of [...through, ...stopped]) parameter.dispose();
  });

  it("consumes gradients and leaves no tensor behind", () => {
    const test = adamw[0]!;
    const before = liveTensors();
    const parameters = parametersOf(test);
    const optimizer = optimizerOf(test, parameters);
    const gradients = gradientsOf(test, 0);
    optimizer.step(gradients, 0.1);
    expect(gradients.every((gradient) => gradient.disposed)).toBe(true);
    optimizer.dispose();
    for (const parameter of parameters) parameter.dispose();
    expect(liveTensors()).toBe(before);
  });

  it("tells programs that parameters changed", () => {
    const parameter = new Parameter(DeviceTensor.full([2], 1));
    const optimizer = new AdamW([{ parameters: [parameter], weightDecay: 0 }]);
    const { version } = parameter;
    optimizer.step([DeviceTensor.full([2], 1)], 0.1);
    expect(parameter.version).toBeGreaterThan(version);
    optimizer.dispose();
    parameter.dispose();
  });
});

describe("what AdamW refuses", () => {
  it("a parameter in two groups, half precision, and the wrong number of gradients", () => {
    const parameter = new Parameter(DeviceTensor.full([2], 1));
    const half = new Parameter(DeviceTensor.full([2], 1, "bfloat16"));
    const group = { parameters: [parameter], weightDecay: 0 };
    expect(() => new AdamW([group, group])).toThrow("one of them is in two groups");
    expect(() => new AdamW([{ parameters: [half], weightDecay: 0 }])).toThrow(
      "parameter = bfloat16[2]: trainable parameters are kept in float32",
    );
    const optimizer = new AdamW([group]);
    expect(() => optimizer.step([], 0.1)).toThrow("gradients = 0: the optimiser has 1 parameters.");
    optimizer.dispose();
    parameter.dispose();
    half.dispose();
  });
});

describe("decayGroups", () => {
  it("decays what transformers decays", () => {
    const named = Object.keys(decayed).map(
      (name) => [name, new Parameter(DeviceTensor.full([1], 0))] as const,
    );
    const [weights, rest] = decayGroups(named, 0.1);
    const namesIn = (group: { readonly parameters: readonly Parameter[] }) =>
      named.filter(([, p]) => group.parameters.includes(p)).map(([name]) => name);
    expect(namesIn(weights!)).toEqual(Object.keys(decayed).filter((name) => decayed[name]));
    expect(namesIn(rest!)).toEqual(Object.keys(decayed).filter((name) => !decayed[name]));
    expect([weights!.weightDecay, rest!.weightDecay]).toEqual([0.1, 0]);
    for (const [, parameter] of named) parameter.dispose();
  });

  it("does not pull a learnt temperature towards 1", () => {
    const log = new Parameter(DeviceTensor.full([], -3));
    const [weights, rest] = decayGroups([["craft_loss.log_temperature", log]], 0.1);
    expect(weights!.parameters).toEqual([]);
    expect(rest!.parameters).toEqual([log]);
    log.dispose();
  });
});
