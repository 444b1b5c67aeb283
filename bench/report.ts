/** @file The result of a benchmark as tables: on the console and in Markdown. */
import type { Comparison, FloorResult } from "./compare.js";
import type { Machine } from "./machine.js";
import type { GroupResult, Measured } from "./rounds.js";

/** All of a benchmark's result; with --json this is printed. */
export interface Report {
  readonly benchmark: string;
  readonly command: string;
  readonly date: string;
  readonly machine: Machine;
  readonly rounds: { readonly steps: number; readonly warm_up: number; readonly starts: number };
  readonly groups: readonly GroupResult[];
  readonly comparisons: readonly Comparison[];
  readonly floors: readonly FloorResult[];
  /** What is absent, and what makes the numbers doubtful. */
  readonly notes: readonly string[];
}

type Cells = readonly string[];

const seconds = (value: number | undefined): string => (value === undefined ? "" : `${value.toFixed(2)} s`);
const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;
const ratio = (value: number | undefined): string => (value === undefined ? "" : value.toFixed(2));

/** Rows of a table of costs, headings first: what each side takes beside the first. */
function costTable(group: GroupResult, comparisons: readonly Comparison[]): Cells[] {
  const loads = group.sides.some(({ held }) => held !== undefined);
  const row = (side: Measured): Cells => {
    const found = comparisons.find(({ task, peer }) => task === group.task && peer === side.name);
    return [
      side.label,
      seconds(side.step_seconds),
      gigabytes(side.peak_rss_bytes),
      ...(loads ? [gigabytes(side.empty_rss_bytes ?? NaN), ratio(side.held)] : []),
      ratio(found?.speed),
      found === undefined ? "" : found.speed_range.map(ratio).join(" to "),
      ratio(found?.growth),
    ];
  };
  return [
    [
      group.task,
      "step",
      "peak memory",
      ...(loads ? ["of an empty process", "beside it, times the file"] : []),
      ...["times the step", "single rounds", "times the memory"],
    ],
    ...group.sides.map(row),
  ];
}

/** Rows of a group's table, headings first: speed is the row's step over ours, the shares are ours over the row's. */
function groupTable(group: GroupResult, comparisons: readonly Comparison[]): Cells[] {
  const generates = group.sides.some((side) => side.tokens_per_second !== undefined);
  const headings = [
    group.task,
    "step",
    ...(generates ? ["tokens/s"] : []),
    "peak memory",
    "start to first step",
    "speed ratio",
    "single rounds",
    "memory share",
    "start share",
  ];
  const row = (side: Measured): Cells => {
    const found = comparisons.find(({ task, peer }) => task === group.task && peer === side.name);
    const range = found === undefined ? "" : found.speed_range.map(ratio).join(" to ");
    return [
      side.label,
      seconds(side.step_seconds),
      ...(generates ? [(side.tokens_per_second ?? 0).toFixed(1)] : []),
      gigabytes(side.peak_rss_bytes),
      seconds(side.first_step_seconds),
      ratio(found?.speed),
      range,
      ratio(found?.memory),
      ratio(found?.start),
    ];
  };
  return [headings, ...group.sides.map(row)];
}

const measures = {
  speed: ["times as fast", "at least"],
  memory: ["share of peak memory", "at most"],
  start: ["share of start to first step", "at most"],
  cost: ["times the step", "at most"],
  growth: ["times the memory", "at most"],
  peak: ["peak memory in GB", "at most"],
  held: ["memory beside an empty process, times the file", "at most"],
} as const;

/** Of a side that does more than the first, and not of us. */
const relative: readonly FloorResult["measure"][] = ["cost", "growth", "held"];

function floorTable(floors: readonly FloorResult[]): Cells[] {
  return [
    ["floor", "asked", "measured", ""],
    ...floors.map(({ task, peer, measure, bound, measured, met }): Cells => {
      const [name, relation] = measures[measure];
      const subject = relative.includes(measure) ? `${task}, ${peer}` : task;
      const verdict = met === undefined ? "not measured" : met ? "met" : "missed";
      return [`${subject}: ${name}`, `${relation} ${bound}`, ratio(measured), verdict];
    }),
  ];
}

function machineLine(machine: Machine): string {
  const { platform, processors, threads, features, fast_bfloat16, memory_bytes, node } = machine;
  const bf16 = features.filter((feature) => feature.endsWith("bf16")).join(", ");
  const support = fast_bfloat16 ? `bfloat16 in hardware (${bf16})` : "no bfloat16 in hardware";
  return `${platform}, ${processors} processors, ${threads} threads, ${support}, ${gigabytes(memory_bytes)} memory, Node ${node}`;
}

/** Versions of all sides, each named once. */
function versionLine(groups: readonly GroupResult[]): string {
  const all = new Map(
    groups.flatMap(({ sides }) => sides.flatMap(({ versions }) => Object.entries(versions))),
  );
  return [...all]
    .filter(([name, version]) => version !== null && name !== "node")
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
}

function tables({ groups, comparisons, floors }: Report): Cells[][] {
  const asked = floors.length === 0 ? [] : [floorTable(floors)];
  const tableOf = (group: GroupResult): Cells[] =>
    (group.relation === "costs" ? costTable : groupTable)(group, comparisons);
  return [...groups.map(tableOf), ...asked];
}

function facts({ machine, groups, rounds }: Report): string[] {
  const costs = groups.every(({ relation }) => relation === "costs");
  const both = !costs && groups.some(({ relation }) => relation === "costs");
  const ofRows = "times the step, times the memory: the row's over the first row's";
  const others = groups.filter(
    (group) => group.rounds.steps !== rounds.steps || group.rounds.warmUp !== rounds.warm_up,
  );
  return [
    machineLine(machine),
    versionLine(groups),
    costs
      ? ofRows
      : `speed ratio: the peer's step over ours; shares: ours over the peer's${both ? `; ${ofRows}` : ""}`,
    ...(others.length === groups.length
      ? []
      : [
          `medians of ${rounds.steps} rounds after ${rounds.warm_up} to warm up${costs ? "" : `; starts: medians of ${rounds.starts}`}`,
        ]),
    ...others.map(({ task, rounds: { steps } }) => `${task}: ${steps} ${steps === 1 ? "step" : "steps"}`),
  ];
}

/** For a terminal. */
export function asText(report: Report): string {
  const padded = (table: readonly Cells[]): string => {
    const widths = table[0]!.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
    const line = (cells: Cells): string =>
      cells
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join("  ")
        .trimEnd();
    return table.map(line).join("\n");
  };
  const notes = report.notes.map((note) => `note: ${note}`);
  return [...tables(report).map(padded), [...facts(report), ...notes].join("\n")].join("\n\n");
}

/** For a page. */
export function asMarkdown(report: Report): string {
  const line = (cells: Cells): string => `| ${cells.join(" | ")} |`;
  const table = ([headings, ...rows]: readonly Cells[]): string =>
    [
      line(headings!),
      line(headings!.map((_, column) => (column === 0 ? "---" : "--:"))),
      ...rows.map(line),
    ].join("\n");
  const items = [...facts(report), ...report.notes].map((fact) => `- ${fact}`);
  return [`\`${report.command}\`, ${report.date}:`, ...tables(report).map(table), items.join("\n")].join(
    "\n\n",
  );
}
