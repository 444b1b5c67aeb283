import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeHtmlReport, type HtmlReport } from "../../../src/report/index.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-report-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function write(report: HtmlReport): Promise<string> {
  const path = join(folder, "report.html");
  await writeHtmlReport(path, report);
  return readFileSync(path, "utf8");
}

const attribute = (element: string, name: string) =>
  Number(new RegExp(` ${name}="([^"]*)"`).exec(element)![1]);

/** The points of the line that has this colour and stroke width, in pixels. */
function linePoints(page: string, colour: string, width: number): [number, number][] {
  const groups = page.match(/<g [^>]*aria-label="line">.*?<\/g>/gs) ?? [];
  const group = groups.find((g) => g.includes(`stroke="${colour}"`) && g.includes(`stroke-width="${width}"`));
  const path = / d="([^"]*)"/.exec(group!)![1]!;
  return [...path.matchAll(/[ML](-?[\d.]+),(-?[\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)]);
}

const nasty = `<script>alert("1")</script> & 'x'`;

describe("writeHtmlReport", () => {
  it("draws bars as high as their values, each panel on its own scale, and names them", async () => {
    const page = await write({
      title: "Bars",
      sections: [
        {
          kind: "bars",
          heading: "Scores",
          panels: [
            {
              title: "BLEU",
              better: "higher",
              digits: 1,
              values: [
                { name: "SFT", value: 10 },
                { name: "CRAFT", value: 25 },
              ],
            },
            {
              title: "Recall",
              values: [
                { name: "SFT", value: 0.5 },
                { name: "CRAFT", value: null },
              ],
            },
          ],
        },
      ],
    });
    const [first, second] = page.match(/<svg .*?<\/svg>/gs)!;
    const bars = (svg: string) => {
      const groups = svg.match(/<g [^>]*aria-label="bar">.*?<\/g>/gs)!;
      return groups.map((group) => attribute(/<rect[^>]*>/.exec(group)![0], "height"));
    };
    const [sft, craft] = bars(first);
    expect(craft).toBeGreaterThan(50);
    expect(sft! / craft!).toBeCloseTo(10 / 25, 6);
    const [other, missing] = bars(second!);
    expect(other).toBeCloseTo(craft!, 6);
    expect(missing).toBe(0);
    expect(first).toContain('aria-label="Bar chart of BLEU: SFT 10.0, CRAFT 25.0"');
    expect(second).toContain('aria-label="Bar chart of Recall: SFT 0.50, CRAFT –"');
    expect(page).toContain("higher is better");
  });

  it("lays bars down where their names are too long to stand side by side", async () => {
    const values = [
      { name: "base", value: 5 },
      { name: "memory_efficient", value: 20 },
      { name: "large_batch", value: -5 },
    ];
    const page = await write({
      title: "Bars",
      sections: [{ kind: "bars", heading: "Scores", panels: [{ title: "BLEU", values }] }],
    });
    const svg = /<svg .*?<\/svg>/s.exec(page)![0];
    const bars = svg.match(/<g [^>]*aria-label="bar">.*?<\/g>/gs)!.map((g) => /<rect[^>]*>/.exec(g)![0]);
    const [base, longest, negative] = bars.map((bar) => ({
      from: attribute(bar, "x"),
      width: attribute(bar, "width"),
    }));
    expect(longest!.width).toBeGreaterThan(100);
    expect(base!.width / longest!.width).toBeCloseTo(1 / 4, 6);
    expect(negative!.width).toBeCloseTo(base!.width, 6);
    expect(negative!.from + negative!.width).toBeCloseTo(base!.from, 6);
    expect(new Set(bars.map((bar) => attribute(bar, "y"))).size).toBe(3);
  });

  it("draws curves at the places of their points, over each other on one scale", async () => {
    const page = await write({
      title: "Curves",
      sections: [
        {
          kind: "curves",
          heading: "Loss",
          xLabel: "step",
          yLabel: "loss",
          series: [
            { name: "SFT", points: [0, 1, 2, 3].map((x) => ({ x, y: 4 - x })) },
            { name: "CRAFT", points: [0, 3].map((x) => ({ x, y: 2 })) },
          ],
        },
      ],
    });
    const falling = linePoints(page, "var(--series-0)", 2);
    const flat = linePoints(page, "var(--series-1)", 2);
    expect(falling).toHaveLength(4);
    const steps = falling.slice(1).map(([x, y], i) => [x - falling[i]![0], y - falling[i]![1]]);
    for (const [dx, dy] of steps) {
      expect(dx).toBeCloseTo(steps[0]![0]!, 2);
      expect(dy).toBeCloseTo(steps[0]![1]!, 2);
    }
    expect(steps[0]![1]).toBeGreaterThan(20); // downwards on the screen
    expect(flat[0]![1]).toBeCloseTo(falling[2]![1], 2); // both are 2 there
    expect(flat.at(-1)![0]).toBeCloseTo(falling.at(-1)![0], 2);
    expect(page).toContain('aria-label="Line chart of loss over step for SFT, CRAFT"');
  });

  it("smooths with the mean of neighbours, keeps the points, and tells of values that are not finite", async () => {
    const points = [3, 0, 3, 0, 3, NaN].map((y, x) => ({ x, y }));
    const page = await write({
      title: "Smooth",
      sections: [
        {
          kind: "curves",
          heading: "Loss",
          xLabel: "step",
          yLabel: "loss",
          smooth: 3,
          series: [{ name: "a", points }],
        },
      ],
    });
    const mean = linePoints(page, "var(--series-0)", 2).map(([, y]) => y);
    const faint = /stroke-opacity="0.3".*? d="([^"]*)"/s.exec(page)![1]!;
    const single = [...faint.matchAll(/[ML]-?[\d.]+,(-?[\d.]+)/g)].map(([, y]) => Number(y));
    const unit = (single[1]! - single[0]!) / 3;
    const value = (y: number) => (single[1]! - y) / unit;
    expect(mean).toHaveLength(5);
    // Means of (3 0), (3 0 3), (0 3 0), (3 0 3), (0 3).
    for (const [i, expected] of [1.5, 2, 1, 2, 1.5].entries())
      expect(value(mean[i]!)).toBeCloseTo(expected, 2);
    expect(page).toContain("Bold: mean of 3 neighbouring points");
    expect(page).toContain("Gaps: values that are not finite, in a.");
  });

  it("draws means alone where series are many, on a scale of their own, with labels apart", async () => {
    const series = [0, 0.001, 0.002, 0.003].map((shift, i) => ({
      name: `s${i}`,
      points: [5, 5.9, 5.6].map((y, x) => ({ x, y: y + shift })),
    }));
    const curves = { kind: "curves", heading: "h", xLabel: "x", yLabel: "y", smooth: 3, series } as const;
    const page = await write({ title: "t", sections: [{ ...curves, fromZero: false }] });
    expect(page).not.toContain('stroke-opacity="0.3"');
    expect(page).toContain("Means of 3 neighbouring points.");
    // Means of (5 5.9), (5 5.9 5.6), (5.9 5.6): 5.45, 5.5, 5.75 fill most of the height, which from 0 they would not.
    const heights = linePoints(page, "var(--series-0)", 2).map(([, y]) => y);
    expect(heights[0]! - heights[2]!).toBeGreaterThan(150);
    expect((heights[0]! - heights[1]!) / (heights[0]! - heights[2]!)).toBeCloseTo(1 / 6, 3);
    const fromZero = linePoints(await write({ title: "t", sections: [curves] }), "var(--series-0)", 2);
    expect(fromZero[0]![1] - fromZero[2]![1]).toBeLessThan(20);
    const labels = [...page.matchAll(/<text[^>]*transform="translate\([\d.]+,([\d.]+)\)"[^>]*>s\d/g)];
    const places = labels.map(([, y]) => Number(y)).sort((a, b) => a - b);
    expect(places).toHaveLength(4);
    for (const [i, y] of places.slice(1).entries()) expect(y - places[i]!).toBeGreaterThan(11);
  });

  it("gives a series one colour on the whole page", async () => {
    const points = [
      { x: 0, y: 1 },
      { x: 1, y: 2 },
    ];
    const curves = (...names: string[]) => ({
      kind: "curves" as const,
      heading: names.join(),
      xLabel: "x",
      yLabel: "y",
      series: names.map((name) => ({ name, points })),
    });
    const page = await write({
      title: "t",
      sections: [curves("base", "SFT"), curves("CRAFT"), curves("SFT")],
    });
    const colours = page.match(/<g [^>]*aria-label="line">/g)!.map((group) => /--series-\d/.exec(group)![0]);
    expect(colours).toEqual(["--series-0", "--series-1", "--series-2", "--series-1"]);
    const many = curves(...Array.from({ length: 9 }, (_, i) => `s${i}`));
    await expect(write({ title: "t", sections: [many] })).rejects.toThrow(/series = .*at most 8/);
  });

  it("marks the best value of a column", async () => {
    const rows = [
      { model: "a", loss: 2, score: 1 },
      { model: "b", loss: 1, score: 1 },
    ];
    const page = await write({
      title: "t",
      sections: [{ kind: "table", heading: "h", rows, better: { loss: "lower", score: "higher" } }],
    });
    expect(page.match(/<td class="best[^>]*>[^<]*/g)).toEqual(['<td class="best number">1']);
    expect(page).toMatch(/<th scope="row">b<\/th>\s*<td class="best number">1<\/td>/);
  });

  it("escapes all that it is given, and fetches and runs nothing", async () => {
    const points = [{ x: 0, y: 1 }];
    const page = await write({
      title: nasty,
      summary: nasty,
      facts: { [nasty]: nasty },
      footer: nasty,
      sections: [
        { kind: "text", heading: nasty, text: nasty },
        { kind: "table", heading: nasty, rows: [{ [nasty]: nasty, n: 1 }] },
        { kind: "curves", heading: nasty, xLabel: nasty, yLabel: nasty, series: [{ name: nasty, points }] },
        { kind: "bars", heading: nasty, panels: [{ title: nasty, values: [{ name: nasty, value: 1 }] }] },
        {
          kind: "examples",
          heading: nasty,
          examples: [{ title: nasty, rows: [{ label: nasty, text: nasty, lang: `e"><b>` }] }],
        },
      ],
    });
    expect(page).not.toMatch(/<script|<b>|<link|<img|<iframe|@import|https?:|src=|href=|url\(|\son\w+=/i);
    expect(page.match(/&lt;script&gt;/g)!.length).toBeGreaterThan(15);
    expect(page).toContain("default-src 'none'");
    expect(page).not.toMatch(/="[^"]*<script/);
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, id] of page.matchAll(/aria-labelledby="([^"]*)"/g)) expect(ids).toContain(id);
  });

  it("keeps line ends and spaces of example texts", async () => {
    const text = "first\n  second\n\nthird";
    const page = await write({
      title: "t",
      sections: [
        { kind: "examples", heading: "h", examples: [{ rows: [{ label: "l", text, lang: "es" }] }] },
      ],
    });
    expect(page).toContain(`<dd lang="es">${text}</dd>`);
    expect(page).toContain("white-space: pre-wrap");
  });

  it("makes the folder, replaces an older report and leaves nothing else", async () => {
    const path = join(folder, "new", "deep", "report.html");
    await writeHtmlReport(path, { title: "one", sections: [] });
    await writeHtmlReport(path, { title: "two", sections: [] });
    expect(readFileSync(path, "utf8")).toContain("<title>two</title>");
    expect(readdirSync(join(folder, "new", "deep"))).toEqual(["report.html"]);
  });

  it("says so when the file cannot be written, and leaves nothing", async () => {
    writeFileSync(join(folder, "file"), "");
    const path = join(folder, "file", "report.html");
    await expect(writeHtmlReport(path, { title: "t", sections: [] })).rejects.toThrow(
      /report = .*cannot be written/,
    );
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});
