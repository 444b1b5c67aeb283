/** @file Line charts. */
import { dot, gridY, line, ruleY, text, type Markish } from "@observablehq/plot";
import type { Html } from "./html.js";
import { drawSvg } from "./svg.js";

export interface Point {
  readonly x: number;
  /** A value that is not finite breaks the line. */
  readonly y: number;
}

export interface Curves {
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[];
  /**
   * Draw the mean of this many neighbouring points, and where there are few series the single ones faintly below.
   * Default 1: the points alone.
   */
  readonly smooth?: number;
  /** Whether the y axis begins at 0. Default true. */
  readonly fromZero?: boolean;
}

/** The colour of each series, by its place among all names on the page: see `style.ts`. */
export type Palette = (name: string) => string;

/** Up to this many, each point gets a dot. */
const fewPoints = 24;
const dashes = ["none", "7 3", "2 3", "9 3 2 3"];
export const font = { fontSize: "12px", background: "transparent", overflow: "visible" };

/** Whether single points are drawn faintly below their means. */
export const showsPoints = ({ smooth = 1, series }: Curves): boolean => smooth > 1 && series.length <= 3;

/** Lines over a common x axis, each named at its right end and told apart by colour and dashes. */
export function drawCurves(curves: Curves, palette: Palette): Html {
  const { xLabel, yLabel, series, smooth = 1, fromZero = true } = curves;
  const marks: Markish[] = [gridY({ stroke: "var(--grid)", strokeOpacity: 1 })];
  const ends: { x: number; y: number; name: string; colour: string }[] = [];
  const heights = fromZero ? [0] : [];
  for (const [at, { name, points }] of series.entries()) {
    const stroke = palette(name);
    const faint = { x: "x", y: "y", stroke, strokeWidth: 1, strokeOpacity: 0.3 };
    if (showsPoints(curves)) marks.push(line([...points], faint));
    const drawn = movingMean(points, smooth);
    heights.push(...(showsPoints(curves) ? points : drawn).map(({ y }) => y).filter(Number.isFinite));
    const strokeDasharray = dashes[at % dashes.length]!;
    marks.push(line(drawn, { x: "x", y: "y", stroke, strokeWidth: 2, strokeDasharray }));
    if (drawn.length <= fewPoints) marks.push(dot(drawn, { x: "x", y: "y", fill: stroke, r: 3 }));
    const last = drawn.findLast(({ y }) => Number.isFinite(y));
    if (last !== undefined) ends.push({ ...last, name, colour: stroke });
  }
  const height = 300;
  const [lowest, highest] = rangeOf(heights);
  for (const { x, y, name, colour } of spread(ends, ((highest - lowest) * 20) / height, highest)) {
    const place = {
      x: "x",
      y: "y",
      text: "name",
      textAnchor: "start",
      dx: 8,
      fill: colour,
      fontWeight: 600,
    } as const;
    marks.push(text([{ x, y, name }], place));
  }
  const widest = Math.max(...series.map(({ name }) => name.length), 1);
  return drawSvg(`Line chart of ${yLabel} over ${xLabel} for ${series.map(({ name }) => name).join(", ")}`, {
    width: 760,
    height,
    marginTop: 30,
    marginLeft: 60,
    marginRight: 20 + widest * 8,
    marginBottom: 40,
    style: font,
    x: { label: xLabel, labelArrow: "none", labelAnchor: "center", insetLeft: 2 },
    y: {
      label: yLabel,
      labelArrow: "none",
      domain: [lowest, highest],
      nice: true,
      tickFormat: shortNumber,
    },
    marks: [...marks, ...(lowest <= 0 ? [ruleY([0], { stroke: "var(--axis)" })] : [])],
  });
}

/** The least and the greatest; never the same, so that an axis can be drawn between them. */
function rangeOf(values: readonly number[]): [number, number] {
  const lowest = values.reduce((least, value) => Math.min(least, value), Infinity);
  const highest = values.reduce((most, value) => Math.max(most, value), -Infinity);
  if (!Number.isFinite(lowest)) return [0, 1];
  return highest > lowest ? [lowest, highest] : [lowest, lowest + 1];
}

/** The mean of up to `count` neighbours around each point, of the finite ones; fewer at the ends. */
function movingMean(points: readonly Point[], count: number): Point[] {
  const [before, after] = [Math.floor((count - 1) / 2), Math.ceil((count - 1) / 2)];
  return points.map(({ x, y }, at) => {
    if (!Number.isFinite(y)) return { x, y };
    const near = points
      .slice(Math.max(0, at - before), at + after + 1)
      .filter((point) => Number.isFinite(point.y));
    return { x, y: near.reduce((sum, point) => sum + point.y, 0) / near.length };
  });
}

/** Moves labels apart that would stand on each other, keeping their order and, as far as it goes, below `top`. */
function spread<T extends { y: number }>(labels: readonly T[], distance: number, top: number): T[] {
  const sorted = [...labels].sort((a, b) => a.y - b.y);
  let below = -Infinity;
  const raised = sorted.map((label) => {
    below = Math.max(label.y, below + distance);
    return { ...label, y: below };
  });
  let above = top + distance;
  return raised.reverse().map((label) => {
    above = Math.min(label.y, above - distance);
    return { ...label, y: above };
  });
}

const shortNumber = (value: number) => String(Number(value.toPrecision(6)));
