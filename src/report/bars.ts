/** @file Bar charts. */
import { axisX, axisY, barX, barY, ruleX, ruleY, text, type PlotOptions } from "@observablehq/plot";
import { font, type Palette } from "./charts.js";
import type { Html } from "./html.js";
import { drawSvg } from "./svg.js";
import { formatCell } from "./table.js";

export interface Bars {
  /** One small chart each, with a scale of its own that starts at 0. */
  readonly panels: readonly Panel[];
}

export interface Panel {
  readonly title: string;
  readonly values: readonly { readonly name: string; readonly value: number | null }[];
  readonly better?: "higher" | "lower";
  /** Digits after the point. Default 2. */
  readonly digits?: number;
}

/** Bars lie where their names would not fit below them. */
export function barsLie({ values }: Panel): boolean {
  const room = uprightWidth / values.length;
  return values.some(({ name }) => name.length * letterWidth > room);
}

const uprightWidth = 184;
const letterWidth = 7;

/** One panel of bars, each with its name and its value: upright, or lying where names are long. */
export function drawPanel(panel: Panel, palette: Palette): Html {
  const { title, values, digits = 2 } = panel;
  const shown = values.map(({ name, value }) => ({
    name,
    value: value !== null && Number.isFinite(value) ? value : 0,
    label: formatCell(value, digits),
  }));
  const told = shown.map(({ name, label }) => `${name} ${label}`).join(", ");
  const draw = barsLie(panel) ? lyingBars : uprightBars;
  return drawSvg(`Bar chart of ${title}: ${told}`, draw(shown, palette));
}

interface Bar {
  readonly name: string;
  readonly value: number;
  readonly label: string;
}

function scaleOf(bars: readonly Bar[]): [number, number] {
  const lowest = Math.min(0, ...bars.map(({ value }) => value));
  const highest = Math.max(0, ...bars.map(({ value }) => value));
  return [lowest, highest > lowest ? highest : 1];
}

const labelled = { text: "label", fill: "currentColor", fontWeight: 600 } as const;

function uprightBars(bars: readonly Bar[], palette: Palette): PlotOptions {
  const [lowest, highest] = scaleOf(bars);
  return {
    width: uprightWidth + 16,
    height: 180,
    marginTop: 24,
    marginLeft: 8,
    marginRight: 8,
    marginBottom: lowest < 0 ? 44 : 28,
    style: font,
    x: { domain: bars.map(({ name }) => name), label: null, padding: 0.35 },
    y: { axis: null, domain: [lowest, highest] },
    marks: [
      ...bars.map((bar) => barY([bar], { x: "name", y: "value", fill: palette(bar.name), rx: 2 })),
      ...bars.map((bar) => text([bar], { x: "name", y: "value", dy: bar.value < 0 ? 9 : -9, ...labelled })),
      ruleY([0], { stroke: "var(--axis)" }),
      axisX({ tickSize: 0, label: null, ...(lowest < 0 && { dy: 16 }) }),
    ],
  };
}

function lyingBars(bars: readonly Bar[], palette: Palette): PlotOptions {
  const [lowest, highest] = scaleOf(bars);
  const longest = (of: (bar: Bar) => string) => Math.max(...bars.map((bar) => of(bar).length));
  const beside = 8 + longest(({ label }) => label) * letterWidth;
  const names = 12 + longest(({ name }) => name) * letterWidth;
  return {
    width: 400,
    height: 8 + 24 * bars.length,
    marginTop: 4,
    marginLeft: names + (lowest < 0 ? beside : 0),
    marginRight: beside,
    marginBottom: 4,
    style: font,
    x: { axis: null, domain: [lowest, highest] },
    y: { domain: bars.map(({ name }) => name), label: null, padding: 0.3 },
    marks: [
      ...bars.map((bar) => barX([bar], { x: "value", y: "name", fill: palette(bar.name), rx: 2 })),
      ...bars.map((bar) => {
        const [dx, textAnchor] = bar.value < 0 ? ([-5, "end"] as const) : ([5, "start"] as const);
        return text([bar], { x: "value", y: "name", dx, textAnchor, ...labelled });
      }),
      ruleX([0], { stroke: "var(--axis)" }),
      axisY({ tickSize: 0, label: null, ...(lowest < 0 && { dx: -beside }) }),
    ],
  };
}
