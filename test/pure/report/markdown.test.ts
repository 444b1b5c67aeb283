import { format } from "prettier";
import { describe, expect, it } from "vitest";
import { markdownTable, replaceMarked } from "../../../src/report/index.js";

const rows = [
  { model: "memory_efficient", BLEU: 9.71, "recall@1": 0.5, note: null },
  { model: "訳 | *b* _c_", BLEU: 12.9, "recall@1": null, note: "x" },
];
const table = { rows, digits: { BLEU: 1 }, better: { BLEU: "higher" } } as const;

describe("markdownTable", () => {
  it("aligns columns, numbers to the right, and makes the best value bold", () => {
    expect(markdownTable({ ...table, rows: [rows[0]!, { ...rows[1]!, model: "b" }] })).toBe(
      [
        "| model            |   BLEU ↑ | recall@1 | note |",
        "| ---------------- | -------: | -------: | ---- |",
        "| memory_efficient |      9.7 |      0.5 | –    |",
        "| b                | **12.9** |        – | x    |",
      ].join("\n"),
    );
  });

  it("leaves nothing to a formatter, and no text that would be read as markup", async () => {
    const text = markdownTable(table);
    expect(await format(text, { parser: "markdown" })).toBe(`${text}\n`);
    expect(text).toContain("訳 \\| \\*b\\* \\_c\\_");
  });
});

describe("replaceMarked", () => {
  const page = "a\n\n<!-- demo:presets -->\n\nold\n\n<!-- /demo:presets -->\n\nb\n";

  it("changes what stands between the markers and nothing else", () => {
    const expected = "a\n\n<!-- demo:presets -->\n\nnew\n\n<!-- /demo:presets -->\n\nb\n";
    expect(replaceMarked(page, "demo:presets", "new")).toBe(expected);
    expect(replaceMarked(expected, "demo:presets", "new")).toBe(expected);
  });

  it("names the marker that is missing", () => {
    expect(() => replaceMarked(page, "demo:other", "")).toThrow(/<!-- demo:other -->/);
    expect(() => replaceMarked("<!-- demo:presets -->", "demo:presets", "")).toThrow(
      /<!-- \/demo:presets -->/,
    );
  });
});
