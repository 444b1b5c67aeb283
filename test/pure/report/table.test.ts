import { describe, expect, it } from "vitest";
import { formatTable } from "../../../src/report/index.js";

describe("formatTable", () => {
  it("aligns text to the left and numbers to the right, with the digits asked for", () => {
    const rows = [
      { model: "base", BLEU: 0.31, loss: 8.3171, seconds: null },
      { model: "CRAFT", BLEU: 22.07, loss: 1.887, seconds: 168 },
    ];
    expect(formatTable({ rows, digits: { BLEU: 1 }, better: { BLEU: "higher", loss: "lower" } })).toBe(
      [
        "model  BLEU ↑  loss ↓  seconds",
        "─────  ──────  ──────  ───────",
        "base      0.3   8.317        –",
        "CRAFT    22.1   1.887      168",
      ].join("\n"),
    );
  });

  it("gives a column the digits that its values need, small ones more", () => {
    const rows = [
      { a: 1, b: 1.5, c: 0.00051234, d: -0.0001 },
      { a: 20, b: 2.25, c: 0.01, d: NaN },
    ];
    expect(formatTable({ rows })).toBe(
      [
        " a     b       c        d",
        "──  ────  ──────  ───────",
        " 1  1.50  0.0005  -0.0001",
        "20  2.25  0.0100      NaN",
      ].join("\n"),
    );
  });

  it("shows what rounds to zero without a sign, and keys that a row lacks as a dash", () => {
    const table = { rows: [{ x: -0.0001, y: "text" }, { x: 1 }], digits: { x: 2 } };
    expect(formatTable(table)).toBe(["   x  y", "────  ────", "0.00  text", "1.00  –"].join("\n"));
  });

  it("counts wide characters as two columns and joined emoji as one character", () => {
    const rows = [
      { text: "未使用の", n: 1 },
      { text: "👩‍💻é", n: 2 },
      { text: "plain", n: 3 },
    ];
    // Display widths of the first column are 8, 3 and 5.
    expect(formatTable({ rows })).toBe(
      ["text      n", "────────  ─", "未使用の  1", "👩‍💻é       2", "plain     3"].join("\n"),
    );
  });

  it("refuses settings for a column that is not there", () => {
    expect(() => formatTable({ rows: [{ a: 1 }], digits: { b: 1 } })).toThrow(/column = b: .*Columns are a/);
    expect(() => formatTable({ rows: [{ a: 1 }], better: { c: "lower" } })).toThrow(/column = c/);
  });
});
