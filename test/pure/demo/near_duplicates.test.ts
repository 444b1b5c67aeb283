import { describe, expect, it } from "vitest";
import { comparableWords, groupNearDuplicates } from "../../../src/cli/demo/near_duplicates.js";

describe("comparableWords", () => {
  it("masks quoted code and placeholders, and drops case and punctuation", () => {
    expect([...comparableWords("Cannot find Name '{0}' in {1}, only \"a b\".")]).toEqual([
      "cannot",
      "find",
      "name",
      "_",
      "in",
      "only",
    ]);
  });
  it("does not take apostrophes for quotes", () => {
    expect([...comparableWords("l'option n'est pas 'x'")]).toEqual(["l", "option", "n", "est", "pas", "_"]);
  });
  it("cuts Chinese and Japanese into character pairs", () => {
    expect([...comparableWords("找不到名称'{0}'。ES 型")]).toEqual([
      "找不",
      "不到",
      "到名",
      "名称",
      "_",
      "es",
      "型",
    ]);
  });
});

describe("groupNearDuplicates", () => {
  const singles = (...texts: string[]) => texts.map((text) => [text]);

  it("joins at the threshold and not below", () => {
    // {a b c d} and {a b c e} share 3 of 5 words, {a b c d} and {a b x y} 2 of 6.
    const items = singles("a b c d", "a b c e", "a b x y");
    expect(groupNearDuplicates(items, 0.6)).toEqual([[0, 1], [2]]);
    expect(groupNearDuplicates(items, 0.61)).toEqual([[0], [1], [2]]);
    expect(groupNearDuplicates(items, 1 / 3)).toEqual([[0, 1, 2]]);
  });

  it("is transitive", () => {
    expect(groupNearDuplicates(singles("a b c d", "z", "c d e f", "b c d e"), 0.6)).toEqual([[0, 2, 3], [1]]);
  });

  it("joins what is alike in any one version", () => {
    const items = [
      ["first words here", "uno dos tres"],
      ["nothing in common", "uno dos tres"],
      ["something else entirely", "cuatro cinco"],
    ];
    expect(groupNearDuplicates(items, 0.6)).toEqual([[0, 1], [2]]);
  });

  it("finds the groups that comparing every pair finds", () => {
    let state = 7;
    const next = (n: number) => (state = (state * 48271) % 2147483647) % n;
    const items = singles(
      ...Array.from({ length: 300 }, () =>
        Array.from({ length: 2 + next(6) }, () => String.fromCharCode(97 + next(26))).join(" "),
      ),
    );
    const sets = items.map(([text]) => new Set(text!.split(" ")));
    for (const threshold of [0.55, 0.6, 0.75, 1]) {
      const label = items.map((_, i) => i);
      for (let i = 0; i < items.length; i++) {
        for (let j = 0; j < i; j++) {
          const shared = [...sets[i]!].filter((word) => sets[j]!.has(word)).length;
          if (shared / (sets[i]!.size + sets[j]!.size - shared) < threshold || label[i] === label[j])
            continue;
          const [from, into] = [label[i]!, label[j]!];
          for (const [at, value] of label.entries()) if (value === from) label[at] = into;
        }
      }
      const expected = new Map<number, number[]>();
      for (const [item, group] of label.entries())
        expected.set(group, [...(expected.get(group) ?? []), item]);
      const byFirst = [...expected.values()].sort((a, b) => a[0]! - b[0]!);
      expect(byFirst.length).toBeGreaterThan(1);
      expect(groupNearDuplicates(items, threshold)).toEqual(byFirst);
    }
  });

  it("refuses a threshold outside (0, 1]", () => {
    expect(() => groupNearDuplicates([["a"]], 0)).toThrow(/threshold = 0/);
    expect(() => groupNearDuplicates([["a"]], 1.1)).toThrow(/threshold = 1.1/);
  });
});
