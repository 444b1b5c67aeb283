/** @file Random numbers look random, and depend on key and place alone. Their exact values are in the table of cases. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  compile,
  drawsRandomNumbers,
  dropout,
  HostTensor,
  nextRandomPlace,
  normal,
  tensor,
  uniform,
  withoutDropout,
  withoutRandomness,
  withRandomKey,
  withRandomPlaces,
  withRandomRows,
  zeros,
  type Tensor,
} from "../../../src/tensor/index.js";
import { startEngine } from "./engine.js";

beforeAll(startEngine);

const count = 1 << 16;
const draw = compile((key: Tensor, place: number) => uniform([count], key, place));
const drawNormal = compile((key: Tensor) => normal([count], key, 0));

async function numbers(key: readonly [number, number], place = 0): Promise<number[]> {
  using found = await draw(tensor(key, "int32"), place);
  return found.toNumbers();
}

const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;
const moment = (x: readonly number[], power: number): number => mean(x.map((n) => n ** power));

function correlation(x: readonly number[], y: readonly number[]): number {
  const [mx, my] = [mean(x), mean(y)];
  const [sx, sy] = [x, y].map((v, i) => Math.sqrt(mean(v.map((n) => (n - (i === 0 ? mx : my)) ** 2))));
  return mean(x.map((n, i) => (n - mx) * (y[i]! - my))) / (sx! * sy!);
}

/** Four standard errors of a correlation of independent numbers. */
const noise = 4 / Math.sqrt(count);

describe("uniform numbers", () => {
  it("lie evenly in [0, 1)", async () => {
    const x = await numbers([7, 3]);
    expect(Math.min(...x.slice(0, 1000))).toBeGreaterThanOrEqual(0);
    expect(x.every((n) => n < 1 && Number.isInteger(n * 2 ** 24))).toBe(true);
    // Chi-squared with 255 degrees of freedom: mean 255, standard deviation 22.6.
    const bins = new Array<number>(256).fill(0);
    for (const n of x) bins[Math.floor(n * 256)]!++;
    const expected = count / 256;
    const chi = bins.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(chi).toBeGreaterThan(255 - 4.5 * 22.6);
    expect(chi).toBeLessThan(255 + 4.5 * 22.6);
  });

  it("are equal for equal keys and places", async () => {
    expect(await numbers([7, 3], 2)).toEqual(await numbers([7, 3], 2));
  });

  it.each<readonly [string, readonly [number, number], number]>([
    ["the first number of the key", [6, 3], 0],
    ["the second number of the key", [7, 2], 0],
    ["the place", [7, 3], 1],
  ])("are others, not only in another order, when %s changes", async (_, key, place) => {
    const [x, y] = [await numbers([7, 3]), await numbers(key, place)];
    expect(Math.abs(correlation(x, y))).toBeLessThan(noise);
    const sorted = (v: readonly number[]): number[] => [...v].sort((a, b) => a - b);
    const [a, b] = [sorted(x), sorted(y)];
    expect(a.filter((n, i) => n === b[i]).length).toBeLessThan(count / 100);
  });

  it("do not follow from their neighbours", async () => {
    const x = await numbers([7, 3]);
    for (const lag of [1, 2, 64, 1024])
      expect(Math.abs(correlation(x.slice(lag), x.slice(0, -lag))), `lag ${lag}`).toBeLessThan(1.1 * noise);
  });
});

describe("normal numbers", () => {
  it("have the moments of the normal distribution", async () => {
    using found = await drawNormal(tensor([11, 5], "int32"));
    const x = found.toNumbers();
    // Standard errors for n numbers: 1, 1.41, 3.87 and 9.8 over the root of n.
    [0, 1, 0, 3].forEach((expected, i) => {
      const error = [1, 1.42, 3.88, 9.8][i]! / Math.sqrt(count);
      expect(Math.abs(moment(x, i + 1) - expected), `moment ${i + 1}`).toBeLessThan(4 * error);
    });
  });
});

describe("dropout", () => {
  it("drops the given share, keeps the mean, and draws anew at each place", async () => {
    const rate = 0.2;
    const run = compile((x: Tensor, key: Tensor) =>
      withRandomKey(key, () => [dropout(x, rate), dropout(x, rate)] as const),
    );
    const ones = tensor(new Array<number>(count).fill(1));
    const [a, b] = await run(ones, tensor([1, 2], "int32"));
    const [x, y] = [a.toNumbers(), b.toNumbers()];
    const dropped = x.filter((n) => n === 0).length / count;
    expect(Math.abs(dropped - rate)).toBeLessThan(4 * Math.sqrt((rate * (1 - rate)) / count));
    expect(new Set(x)).toEqual(new Set([0, Math.fround(1.25)]));
    expect(Math.abs(correlation(x, y))).toBeLessThan(noise);
    for (const t of [a, b]) t.dispose();
    run.dispose();
  });

  it("drops of a part of a batch what it drops there of the whole, at places that are told", async () => {
    const drop = (x: Tensor) => [dropout(x, 0.5), dropout(x.reshape([-1]), 0.5)] as const;
    const whole = compile((x: Tensor, key: Tensor) =>
      withRandomKey(key, () => [...withRandomPlaces(7, () => drop(x)), dropout(x, 0.5)] as const),
    );
    const part = compile((x: Tensor, first: Tensor, key: Tensor, place: number) =>
      withRandomKey(key, () =>
        withRandomPlaces(place, () => withRandomRows({ first, count: x.shape[0]! }, () => drop(x))),
      ),
    );
    const key = tensor([1, 2], "int32");
    const ones = (rows: number) => tensor(new Array<number[]>(rows).fill(new Array<number>(64).fill(1)));
    const expected = (await whole(ones(8), key)).map((t) => t.toNumbers());
    const found = (await part(ones(3), tensor(4, "int32"), key, 7)).map((t) => t.toNumbers());
    expect(found).toEqual(expected.slice(0, 2).map((x) => x.slice(4 * 64, 7 * 64)));
    const other = (await part(ones(3), tensor(3, "int32"), key, 7)).map((t) => t.toNumbers());
    expect(other[0]).not.toEqual(found[0]);
    const first = (await part(ones(8), tensor(0, "int32"), key, 0)).map((t) => t.toNumbers());
    expect(first[0]).toEqual(expected[2]);
    const strange = compile((x: Tensor) =>
      withRandomKey(x, () => withRandomRows({ first: x, count: 3 }, () => dropout(x, 0.5))),
    );
    await expect(strange(tensor([1, 2], "int32"))).rejects.toThrow("dropout: [2] is not made of 3 rows.");
  });

  it("is noticed, at whatever places it draws", () => {
    const x = zeros([4]);
    expect(drawsRandomNumbers(() => x)).toBe(false);
    expect(drawsRandomNumbers(() => dropout(x, 0))).toBe(false);
    expect(drawsRandomNumbers(() => dropout(x, 0.1))).toBe(true);
    expect(drawsRandomNumbers(() => withRandomPlaces(9, () => dropout(x, 0.1)))).toBe(true);
  });

  it("is switched off in a part of a program, and goes on behind it with places of its own", async () => {
    const places: unknown[] = [];
    const run = compile((x: Tensor, key: Tensor) =>
      withRandomKey(key, () => {
        const half = (): Tensor => dropout(x, 0.5);
        const noting = (): Tensor => {
          places.push(nextRandomPlace()?.place);
          return half();
        };
        return [half(), withoutRandomness(noting), withoutDropout(noting), half()] as const;
      }),
    );
    const plain = compile((x: Tensor, key: Tensor) =>
      withRandomKey(key, () => {
        const first = dropout(x, 0.5);
        nextRandomPlace();
        return [first, dropout(x, 0.5)] as const;
      }),
    );
    const x = HostTensor.filled([64], 1, "float32");
    const found = await run(x, tensor([3, 4], "int32"));
    const expected = await plain(x, tensor([3, 4], "int32"));
    expect(places).toEqual([undefined, 1]);
    const [first, silent, kept, last] = found.map((t) => t.toNumbers());
    expect([first, last]).toEqual(expected.map((t) => t.toNumbers()));
    for (const numbers of [silent, kept]) expect(numbers).toEqual(new Array(64).fill(1));
    for (const t of [...found, ...expected]) t.dispose();
    for (const program of [run, plain]) program.dispose();
  });

  it("does nothing outside withRandomKey, and nothing at rate 0", async () => {
    const run = compile(
      (x: Tensor, key: Tensor) => [dropout(x, 0.9), withRandomKey(key, () => dropout(x, 0))] as const,
    );
    const [a, b] = await run(tensor([1, 2]), tensor([1, 2], "int32"));
    expect([a.toNumbers(), b.toNumbers()]).toEqual([
      [1, 2],
      [1, 2],
    ]);
    for (const t of [a, b]) t.dispose();
    run.dispose();
  });
});
