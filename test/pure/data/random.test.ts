import { describe, expect, it } from "vitest";
import { Random, philox4x32 } from "../../../src/random.js";

const hex = (words: readonly number[]) => words.map((word) => word.toString(16).padStart(8, "0")).join(" ");

describe("philox4x32", () => {
  // The known answers of the Random123 library's file kat_vectors for "philox4x32 10".
  it.each([
    [[0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      "d16cfe09 94fdcceb 5001e420 24126ea1",
    ],
  ] as const)("of counter %j under key %j", (counter, key, expected) => {
    expect(hex(philox4x32(counter, key))).toBe(expected);
  });
});

describe("Random", () => {
  it("draws the words of philox4x32 in order, the seed being the key", () => {
    const random = new Random(0);
    const words = Array.from({ length: 5 }, () => random.word());
    expect(hex(words)).toBe(
      `6627e8d5 e169c58d bc57ac4c 9b00dbd8 ${hex(philox4x32([1, 0, 0, 0], [0, 0]).slice(0, 1))}`,
    );
    const wide = new Random(0x9f31 * 2 ** 32 + 0xa4093822);
    expect(wide.word()).toBe(philox4x32([0, 0, 0, 0], [0xa4093822, 0x9f31])[0]);
  });

  it("makes a uniform of the upper 27 and 26 bits of two words", () => {
    // 0x6627e8d5 >>> 5 = 53559110, 0xe169c58d >>> 6 = 59090710
    expect(new Random(0).uniform()).toBe((53559110 * 2 ** 26 + 59090710) / 2 ** 53);
  });

  it("continues from a saved state that went through JSON", () => {
    const random = new Random(7, "order", 3);
    for (let i = 0; i < 6; i++) random.word();
    const state: unknown = JSON.parse(JSON.stringify(random.state()));
    expect(state).toEqual({ seed: 7, key: ["order", 3], counter: 6 });
    const resumed = Random.fromState({ seed: 7, key: ["order", 3], counter: 6 });
    expect(Array.from({ length: 9 }, () => resumed.word())).toEqual(
      Array.from({ length: 9 }, () => random.word()),
    );
  });

  it("gives different streams for different keys, and the same for the same", () => {
    const keys = [
      [],
      [0],
      [1],
      ["0"],
      ["1"],
      [0, 1],
      [1, 0],
      ["a"],
      ["a\0"],
      [""],
      ["abcdefgh"],
      ["abcdefghi"],
    ];
    const first = keys.map((key) => new Random(5, ...key).word());
    expect(new Set(first).size).toBe(keys.length);
    expect(new Random(5).stream("a", 2).word()).toBe(new Random(5, "a", 2).word());
    expect(new Random(6, "a").word()).not.toBe(new Random(5, "a").word());
  });

  it("draws integers without favour: 60,000 of 6 lie within five standard deviations", () => {
    const random = new Random(11);
    const counts = new Array<number>(6).fill(0);
    for (let i = 0; i < 60_000; i++) counts[random.integer(6)]! += 1;
    // Standard deviation of one count: sqrt(60000 * 1/6 * 5/6) = 91.3
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(457);
  });

  it("permutes: each of 3! orders comes up as often", () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 12_000; i++) {
      const order = new Random(i, "order").permutation(3).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(["012", "021", "102", "120", "201", "210"]);
    // Standard deviation: sqrt(12000 * 1/6 * 5/6) = 40.8
    for (const count of counts.values()) expect(Math.abs(count - 2000)).toBeLessThan(204);
    expect([...new Random(1).permutation(1000)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });

  it("draws normals with the moments of the normal distribution", () => {
    const random = new Random(3);
    const n = 100_000;
    let [sum, squares, fourths] = [0, 0, 0];
    for (let i = 0; i < n; i++) {
      const x = random.normal();
      sum += x;
      squares += x ** 2;
      fourths += x ** 4;
    }
    // Five standard errors: of the mean 1/sqrt(n), of the variance sqrt(2/n), of the fourth moment sqrt(96/n).
    expect(Math.abs(sum / n)).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(squares / n - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(fourths / n - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
  });

  it.each([-1, 1.5, Number.NaN, 2 ** 53])("refuses the seed %s", (seed) => {
    expect(() => new Random(seed)).toThrow("must be an integer from 0 to 2^53 - 1");
  });

  it("refuses to draw from nothing", () => {
    expect(() => new Random(1).integer(0)).toThrow("n = 0: must be an integer from 1 to 2^32");
  });
});
