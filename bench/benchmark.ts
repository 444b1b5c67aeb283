/** @file What the benchmarks share: the checkpoint, the scripts, the peers' Python, and where the result goes. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CraftError } from "../src/errors.js";
import { buildIfStale, buildScripts, type BuiltScripts } from "./built.js";
import { checkFloors, compareGroup, type Floor } from "./compare.js";
import { describeMachine } from "./machine.js";
import { requireSection, updatePage } from "./page.js";
import { findPython, type Python } from "./python.js";
import { asMarkdown, asText, type Report } from "./report.js";
import { measure, type Group, type GroupResult } from "./rounds.js";
import { models, type ModelName } from "./workload.js";

/** Options of every benchmark. */
export interface BenchmarkOptions {
  /** As it was given, without what names places on this machine. */
  readonly command: string;
  readonly rounds: number;
  readonly starts: number;
  readonly json: boolean;
  readonly build: boolean;
  readonly python?: string;
  readonly checkpoint?: string;
  readonly markdown?: string;
}

/** What a benchmark is given to describe its sides with. */
export interface Setting {
  readonly checkpoint: string;
  readonly scripts: BuiltScripts;
  /** Undefined where the peers cannot run. */
  readonly python: Python | undefined;
}

export interface Benchmark {
  /** As in the page's markers. */
  readonly name: string;
  /** What all sides read. Default: SmolLM-135M. */
  readonly model?: ModelName;
  readonly floors: readonly Floor[];
  groups(setting: Setting): readonly Group[];
  /** What is to be said beside the tables. */
  notes?(groups: readonly GroupResult[]): readonly string[];
}

const warmUp = 2;
/** Processors kept busy by other programs from which on a result is called doubtful. */
const disturbed = 0.1;

/** Runs a benchmark and prints its result. */
export async function runBenchmark(benchmark: Benchmark, options: BenchmarkOptions): Promise<void> {
  const progress = (text: string): void => void process.stderr.write(`${text}\n`);
  if (options.markdown !== undefined) requireSection(options.markdown, benchmark.name);
  if (options.build) buildIfStale();
  const found = findPython(options.python);
  const python = typeof found === "string" ? undefined : found;
  const scripts = buildScripts();
  const temporary = mkdtempSync(join(tmpdir(), "craft-bench-model-"));
  process.once("exit", () => {
    scripts.dispose();
    rmSync(temporary, { recursive: true, force: true });
  });
  // The sides end by themselves when their input ends.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  const checkpoint = options.checkpoint ?? temporary;
  prepareCheckpoint(benchmark.model ?? "SmolLM-135M", checkpoint, scripts, progress);
  const groups: GroupResult[] = [];
  const rounds = { steps: options.rounds, warmUp, starts: options.starts };
  for (const group of benchmark.groups({ checkpoint, scripts, python })) {
    groups.push(await measure(group, rounds, progress));
  }
  const comparisons = groups.flatMap(compareGroup);
  const report: Report = {
    benchmark: benchmark.name,
    command: options.command,
    date: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    rounds: { steps: options.rounds, warm_up: warmUp, starts: options.starts },
    groups,
    comparisons,
    floors: checkFloors(benchmark.floors, comparisons, groups),
    notes: [
      ...(typeof found === "string" ? [`no peer was run: ${found}`] : []),
      ...groups.flatMap(notesOf),
      ...(benchmark.notes?.(groups) ?? []),
    ],
  };
  if (options.markdown !== undefined) await updatePage(options.markdown, benchmark.name, asMarkdown(report));
  process.stdout.write(`${options.json ? JSON.stringify(report) : asText(report)}\n`);
}

function notesOf({ task, absent, others_busy: busy }: GroupResult): string[] {
  return [
    ...absent.map(({ name, reason }) => `${task}: ${name} was left out: ${reason.trim()}`),
    ...(busy !== undefined && busy > disturbed
      ? [`${task}: other programs kept up to ${busy.toFixed(1)} processors busy meanwhile`]
      : []),
  ];
}

/** Writes the checkpoint by this package's own code, or takes the one that is there if it has the right shape. */
function prepareCheckpoint(
  model: ModelName,
  folder: string,
  scripts: BuiltScripts,
  progress: (text: string) => void,
): void {
  const config = join(folder, "config.json");
  if (existsSync(config)) {
    const json = JSON.parse(readFileSync(config, "utf8")) as Record<string, unknown>;
    const shape = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"] as const;
    const wanted = models[model];
    const other = shape.find((key) => json[key] !== wanted[key]);
    if (other === undefined) return;
    throw new CraftError({
      subject: `${config}, ${other}`,
      value: json[other],
      reason: `is not the benchmark's model, which has ${wanted[other]}`,
      remedy: "Name an empty folder, and the model is made in it.",
    });
  }
  progress("making the checkpoint");
  const { status } = spawnSync(process.execPath, [scripts.path("checkpoint"), folder, model], {
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0)
    throw new CraftError({ subject: "checkpoint", value: folder, reason: "could not be made" });
}
