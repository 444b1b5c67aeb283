import { describe, expect, test } from "vitest";
import { checkFloors, compareGroup } from "../../../bench/compare.js";
import { replaceSection } from "../../../bench/page.js";
import { asMarkdown, asText, type Report } from "../../../bench/report.js";
import type { GroupResult, Measured } from "../../../bench/rounds.js";
import { median } from "../../../bench/statistics.js";

const side = (name: string, steps: number[], peak: number, start: number): Measured => ({
  name,
  label: name,
  step_seconds: median(steps),
  step_seconds_all: steps,
  step_cpu_seconds: 1,
  peak_rss_bytes: peak,
  first_step_seconds: start,
  first_step_seconds_all: [start],
  import_seconds: 1,
  load_seconds: 1,
  versions: { torch: "2.13.0", craft: null },
  settings: {},
});
const group: GroupResult = {
  task: "CRAFT-SFT",
  relation: "peers",
  rounds: { steps: 3, warmUp: 1, starts: 1 },
  sides: [side("ours", [2, 1, 4], 1.2e9, 3), side("craft", [5, 5, 3], 2.4e9, 12)],
  absent: [],
};

test("the median of an even number of values is the mean of the two in the middle", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
});

test("ratios are of medians; speed is how many times as fast, memory and start are shares", () => {
  expect(compareGroup(group)).toEqual([
    {
      task: "CRAFT-SFT",
      peer: "craft",
      peer_label: "craft",
      speed: 2.5,
      speed_range: [0.75, 5],
      memory: 0.5,
      growth: 2,
      start: 0.25,
    },
  ]);
});

describe("floors", () => {
  const ask = { task: "CRAFT-SFT", peer: "craft" } as const;
  const results = checkFloors(
    [
      { ...ask, measure: "speed", bound: 2.5 },
      { ...ask, measure: "speed", bound: 2.6 },
      { ...ask, measure: "memory", bound: 0.6 },
      { ...ask, measure: "start", bound: 0.2 },
      { ...ask, peer: "trl", measure: "speed", bound: 1 },
    ],
    compareGroup(group),
  );

  test("speed is bounded from below, the shares from above", () => {
    expect(results.map(({ met }) => met)).toEqual([true, false, true, false, undefined]);
    expect(results.map(({ measured }) => measured)).toEqual([2.5, 2.5, 0.5, 0.25, undefined]);
  });

  const comparisons = compareGroup(group);
  const report: Report = {
    benchmark: "sft",
    command: "npm run bench -- sft",
    date: "2026-01-02",
    machine: {
      platform: "linux x64",
      processors: 2,
      threads: 2,
      features: ["avx512_bf16"],
      fast_bfloat16: true,
      memory_bytes: 16e9,
      node: "22.1.0",
    },
    rounds: { steps: 3, warm_up: 2, starts: 1 },
    groups: [group],
    comparisons,
    floors: results,
    notes: ["something was absent"],
  };

  test("tables show them beside what was measured", () => {
    const lines = asText(report).split("\n");
    expect(lines.find((line) => line.startsWith("craft"))).toMatch(
      /^craft +5\.00 s +2\.40 GB +12\.00 s +2\.50 +0\.75 to 5\.00 +0\.50 +0\.25$/,
    );
    expect(lines).toContainEqual(expect.stringMatching(/times as fast +at least 2\.6 +2\.50 +missed$/));
    expect(lines).toContain("note: something was absent");
    const page = asMarkdown(report);
    expect(page).toContain("| craft | 5.00 s | 2.40 GB | 12.00 s | 2.50 | 0.75 to 5.00 | 0.50 | 0.25 |");
    expect(page).toContain("- torch 2.13.0\n");
  });
});

describe("costs", () => {
  const costs: GroupResult = {
    task: "features",
    relation: "costs",
    rounds: { steps: 1, warmUp: 0, starts: 0 },
    sides: [side("ours", [2], 1e9, 1), side("queue", [2.5], 1.5e9, 1)],
    absent: [],
  };
  const asked = { task: "features", peer: "queue" } as const;
  const floors = checkFloors(
    [
      { ...asked, measure: "cost", bound: 1.2 },
      { ...asked, measure: "growth", bound: 1.5 },
    ],
    compareGroup(costs),
  );

  test("are the other's step and memory over the first one's, bounded from above", () => {
    expect(floors.map(({ measured, met }) => [measured, met])).toEqual([
      [1.25, false],
      [1.5, true],
    ]);
    const page = asMarkdown({
      ...{ benchmark: "craft", command: "c", date: "d", notes: [] },
      machine: {
        ...{ platform: "p", processors: 2, threads: 2, features: [], fast_bfloat16: false },
        ...{ memory_bytes: 1e9, node: "22" },
      },
      rounds: { steps: 5, warm_up: 2, starts: 0 },
      groups: [costs],
      comparisons: compareGroup(costs),
      floors,
    });
    expect(page).toContain("| queue | 2.50 s | 1.50 GB | 1.25 | 1.25 to 1.25 | 1.50 |");
    expect(page).toContain("| features, queue: times the step | at most 1.2 | 1.25 | missed |");
    expect(page).toContain("- features: 1 step");
  });
});

test("loading is measured by what its memory is beside an empty process, over the size of the file", () => {
  const floor = { task: "loading", peer: "loading", measure: "held" } as const;
  const [ours, other] = [side("ours", [1], 2e9, 1), side("loading", [1.4], 2.1e9, 1)];
  const loading: GroupResult = {
    ...group,
    task: "loading",
    relation: "costs",
    sides: [ours, { ...other, empty_rss_bytes: 1e9, held: 1.15 }],
  };
  const comparisons = compareGroup(loading);
  const floors = [1.1, 1.2].map((bound) => ({ ...floor, bound }));
  expect(checkFloors(floors, comparisons).map(({ measured, met }) => [measured, met])).toEqual([
    [1.15, false],
    [1.15, true],
  ]);
});

test("a result replaces what stood between its markers, and nothing else", () => {
  const page =
    "a\n<!-- bench:sft -->\nold\n<!-- /bench:sft -->\n<!-- bench:sft-full -->\n<!-- /bench:sft-full -->\n";
  const once = replaceSection(page, "sft", "new");
  expect(once).toBe(page.replace("\nold\n", "\n\nnew\n\n"));
  expect(replaceSection(once, "sft", "new")).toBe(once);
  expect(() => replaceSection(page, "generate", "new")).toThrow("bench:generate");
});
