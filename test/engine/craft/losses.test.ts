/** @file InfoNCE and its parts against PyTorch (parity/craft.py): values, and gradients towards everything. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { InfoNCELoss, type InfoNCEInput, type Pooling } from "../../../src/craft/losses/index.js";
import { batchReciprocalRank } from "../../../src/craft/metrics/index.js";
import {
  compile,
  gradients,
  HostTensor,
  type Feed,
  type NestedNumbers,
  type Tensor,
} from "../../../src/tensor/index.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose, hostTensor, largestDifference, need, readTensors, type Expected } from "../fixtures.js";

interface Case {
  readonly name: string;
  readonly pooling: Pooling;
  readonly temperature: number;
  readonly dim: number | null;
  readonly learnable?: boolean;
  readonly symmetric?: boolean;
  readonly negatives?: number;
  readonly negativeHidden?: number;
  readonly hashes?: readonly [readonly number[], readonly number[], readonly number[]];
  readonly ruledOut?: readonly (readonly [number, number])[];
  /** Of the further negatives alone. */
  readonly ruledOutOfQueue?: readonly (readonly [number, number])[];
  /** Whether each anchor has negatives of its own. */
  readonly own?: boolean;
  readonly ownHashes?: readonly (readonly number[])[];
  readonly masks: Readonly<Record<string, NestedNumbers>>;
  readonly expected: Readonly<Record<"sum" | "weight" | "accuracy" | "reciprocalRank", number>>;
}

const folder = join(import.meta.dirname, "../../fixtures/craft");
const { hiddenSize, infoNCE } = JSON.parse(readFileSync(join(folder, "losses.json"), "utf8")) as {
  readonly hiddenSize: number;
  readonly infoNCE: readonly Case[];
};

let fixture: Map<string, Expected>;
beforeAll(async () => {
  await loadTorch();
  fixture = readTensors(join(folder, "losses.safetensors"));
});

const ints = (values: readonly number[]): HostTensor => new HostTensor([...values], [values.length], "int32");
const mask = (rows: NestedNumbers): HostTensor => HostTensor.from(rows, "int64");
/** The fixture's names leave out the head's path. */
const shortName = (path: string): string =>
  path === "log_temperature" ? "logTemperature" : path.replace("projection_head.", "");
const rows = (name: string, count: number): HostTensor => {
  const { shape, values } = need(fixture, `inputs/${name}`);
  const size = values.length / shape[0]!;
  return hostTensor({ shape: [count, ...shape.slice(1)], values: values.slice(0, count * size) });
};

/** Puts the fixture's numbers in the place of the loss's own parameters. */
function build(test: Case): InfoNCELoss {
  const nce = new InfoNCELoss({
    hiddenSize,
    projectionDim: test.dim,
    pooling: test.pooling,
    temperature: test.temperature,
    learnableTemperature: test.learnable ?? false,
    symmetric: test.symmetric ?? false,
  });
  for (const [path, parameter] of nce.namedParameters()) {
    if (path === "log_temperature") continue;
    parameter.set(hostTensor(need(fixture, `inputs/${shortName(path)}`)).upload());
  }
  return nce;
}

/** The inputs that gradients are compared for; the loss takes them under these names. */
const differentiated = [
  "anchorHidden",
  "positiveHidden",
  "negativeHidden",
  "negatives",
  "ownHidden",
] as const;

/** Bool, false at the given places. */
function without(
  shape: readonly [number, number],
  places: readonly (readonly [number, number])[],
): HostTensor {
  const allowed = new Uint8Array(shape[0] * shape[1]).fill(1);
  for (const [i, j] of places) allowed[i * shape[1] + j] = 0;
  return new HostTensor(allowed, shape, "bool");
}

function feeds(test: Case): Record<string, Feed> {
  const { masks, hashes, ownHashes, ruledOut, ruledOutOfQueue, negativeHidden = 0, negatives = 0 } = test;
  const candidates = 4 + negativeHidden + negatives + (test.own === true ? 2 : 0);
  return {
    anchorHidden: rows("anchorHidden", 4),
    anchorMask: mask(masks["anchor"]!),
    positiveHidden: rows("positiveHidden", 4),
    positiveMask: mask(masks["positive"]!),
    ...(negativeHidden > 0 && {
      negativeHidden: rows("negativeHidden", negativeHidden),
      negativeMask: mask(masks["negative"]!),
    }),
    ...(negatives > 0 && { negatives: rows("negatives", negatives) }),
    ...(test.own && { ownHidden: rows("ownHidden", 4), ownMask: mask(masks["own"]!) }),
    ...(ownHashes && { ownHash: HostTensor.from(ownHashes, "int32") }),
    ...(ruledOut && { allowed: without([4, candidates], ruledOut) }),
    ...(ruledOutOfQueue && { negativesAllowed: without([4, negatives], ruledOutOfQueue) }),
    ...(hashes && { anchorHash: ints(hashes[0]), positiveHash: ints(hashes[1]) }),
    ...(hashes && hashes[2].length > 0 && { negativeHash: ints(hashes[2]) }),
  };
}

function inputOf(x: Readonly<Record<string, Tensor>>): InfoNCEInput {
  const { anchorHash, positiveHash, negativeHash, ownHash: ownNegativeHash } = x;
  return {
    anchorHidden: x["anchorHidden"]!,
    anchorMask: x["anchorMask"]!,
    positiveHidden: x["positiveHidden"]!,
    positiveMask: x["positiveMask"]!,
    negativeHidden: x["negativeHidden"] ?? x["ownHidden"],
    negativeMask: x["negativeMask"] ?? x["ownMask"],
    negatives: x["negatives"],
    negativesAllowed: x["negativesAllowed"],
    allowed: x["allowed"],
    hashes: anchorHash && positiveHash && { anchorHash, positiveHash, negativeHash, ownNegativeHash },
  };
}

describe("InfoNCELoss against PyTorch", () => {
  it.each(infoNCE)("$name", async (test) => {
    using nce = build(test);
    const trained = [...nce.namedParameters()].map(([path, p]) => [shortName(path), p] as const);
    const program = compile((x: Record<string, Tensor>) => {
      const output = nce.forward(inputOf(x));
      const { sum, weight, accuracy, anchor, positive, temperature } = output;
      const inputs = differentiated.flatMap((name) => (x[name] ? [[name, x[name]] as const] : []));
      const wanted = [...inputs, ...trained];
      const targets = wanted.map(([, target]) => target);
      const found = gradients(sum.div(weight), targets);
      const reciprocalRank = batchReciprocalRank(output.similarities, output.isNegative);
      return {
        scalars: { sum, weight, accuracy, reciprocalRank },
        temperature,
        vectors: { anchor, positive },
        gradients: Object.fromEntries(wanted.map(([name], i) => [name, found[i]!])),
      };
    });
    const result = await program(feeds(test));
    program.dispose();

    for (const [name, expected] of Object.entries(test.expected)) {
      const actual = result.scalars[name as keyof typeof test.expected].item();
      expect(Math.abs(actual - expected), `${name} ${actual}, not ${expected}`).toBeLessThanOrEqual(
        1e-5 * Math.max(1, expected),
      );
    }
    expect(result.temperature.item() / test.temperature).toBeCloseTo(1, 6);
    for (const [name, vectors] of Object.entries(result.vectors))
      expectClose(vectors, need(fixture, `${test.name}/${name}`), name);
    const prefix = `${test.name}/grad.`;
    const wanted = [...fixture.keys()].filter((name) => name.startsWith(prefix));
    expect(Object.keys(result.gradients).sort()).toEqual(
      wanted.map((name) => name.slice(prefix.length)).sort(),
    );
    for (const [name, gradient] of Object.entries(result.gradients))
      expectClose(gradient, need(fixture, prefix + name), `gradient of ${name}`, 2e-5);
  });

  it("is the same from vectors that were embedded in other programs", async () => {
    const test = infoNCE.find(({ name }) => name === "everything")!;
    using nce = build(test);
    const whole = compile((x: Record<string, Tensor>) => nce.forward(inputOf(x)).sum);
    const embed = compile((hidden: Tensor, m: Tensor) => nce.embed(hidden, m));
    const contrast = compile((x: Record<string, Tensor>, anchor: Tensor, positive: Tensor, hard: Tensor) => {
      const { negatives, hashes, allowed } = inputOf(x);
      return nce.contrast({ negatives, hashes, allowed, anchor, positive, hardNegatives: hard }).sum;
    });
    const fed = feeds(test);
    const side = (name: string) => embed(fed[`${name}Hidden`]!, fed[`${name}Mask`]!);
    const vectors = [await side("anchor"), await side("positive"), await side("negative")] as const;
    const expected = (await whole(fed)).item();
    const apart = (await contrast(fed, ...vectors)).item();
    expect(Math.abs(apart - expected)).toBeLessThanOrEqual(1e-5 * expected);
    for (const program of [whole, embed, contrast]) program.dispose();
  });

  it("notices other data: the gradients of one case are not those of another", async () => {
    const [first, second] = [infoNCE[0]!, infoNCE[1]!];
    const a = need(fixture, `${first.name}/grad.output.weight`).values;
    const b = need(fixture, `${second.name}/grad.output.weight`).values;
    expect(largestDifference(a, b)).toBeGreaterThan(0.01);
  });
});
