/** @file Runs the sides of a group in turn, round by round, so that what disturbs one disturbs all. */
import { readFileSync } from "node:fs";
import { Side, runOnce, type SideSpec } from "./side.js";
import { median } from "./statistics.js";

/** Sides that are measured side by side. Ours is the first. */
export interface Group {
  /** What is done in a step. */
  readonly task: string;
  readonly specs: readonly SideSpec[];
  /** "peers", the default, do the same work; with "costs", the others do more than the first. */
  readonly relation?: "peers" | "costs";
  /** Where steps are too long for as many as are asked for. */
  readonly rounds?: Rounds;
}

export interface Rounds {
  /** Steps that are timed. */
  readonly steps: number;
  /** Steps before them that are not. */
  readonly warmUp: number;
  /** Processes started to time their first step. */
  readonly starts: number;
}

/** What was measured of a side. Times in seconds. */
export interface Measured {
  readonly name: string;
  readonly label: string;
  readonly step_seconds: number;
  readonly step_seconds_all: readonly number[];
  readonly step_cpu_seconds: number;
  /** New tokens a second, of generation. */
  readonly tokens_per_second?: number;
  readonly peak_rss_bytes: number;
  /** Peak of a process with libtorch before it loads anything; of loading. */
  readonly empty_rss_bytes?: number;
  /** What the peak is beside that, over the size of the file: the most of all steps; of loading. */
  readonly held?: number;
  /** From process start to the first finished step; absent when that was not measured. */
  readonly first_step_seconds?: number;
  readonly first_step_seconds_all: readonly number[];
  readonly import_seconds: number;
  readonly load_seconds: number;
  readonly first_loss?: number;
  readonly versions: Readonly<Record<string, string | null>>;
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface GroupResult {
  readonly task: string;
  readonly relation: "peers" | "costs";
  readonly rounds: Rounds;
  readonly sides: readonly Measured[];
  /** Processors that other programs kept busy in the timed steps, at most; absent where the system does not tell. */
  readonly others_busy?: number;
  /** Sides that could not run, and why. */
  readonly absent: readonly { readonly name: string; readonly reason: string }[];
}

interface Running {
  readonly side: Side;
  readonly seconds: number[];
  readonly cpuSeconds: number[];
  readonly tokensPerSecond: number[];
  readonly empty: number[];
  readonly held: number[];
  readonly starts: number[];
  firstLoss: number | undefined;
}

/**
 * Measures a group: all sides are started, then take a step each in every round, in an order that moves on by one; then
 * each is started anew for every round of starts. A peer that fails is left out and named; a failure of ours is thrown.
 */
export async function measure(
  group: Group,
  asked: Rounds,
  progress: (text: string) => void,
): Promise<GroupResult> {
  const { rounds = asked, relation = "peers" } = group;
  const absent: { name: string; reason: string }[] = [];
  let running: Running[] = [];
  const others: number[] = [];
  /** Does something for each side still there; a side for which it fails is left out from then on. */
  const forEach = async (shift: number, action: (one: Running) => Promise<void>): Promise<void> => {
    for (const one of running.map((_, i) => running[(i + shift) % running.length]!)) {
      try {
        await action(one);
      } catch (error) {
        if (one.side.spec.name === "ours") throw error;
        absent.push({ name: one.side.spec.name, reason: String(error) });
        await one.side.close();
        running = running.filter((other) => other !== one);
      }
    }
  };
  try {
    for (const spec of group.specs) {
      progress(`${group.task}: starting ${spec.label}`);
      try {
        const side = await Side.start(spec);
        running.push({
          side,
          seconds: [],
          cpuSeconds: [],
          tokensPerSecond: [],
          empty: [],
          held: [],
          starts: [],
          firstLoss: undefined,
        });
      } catch (error) {
        if (spec.name === "ours") throw error;
        absent.push({ name: spec.name, reason: String(error) });
      }
    }
    for (let round = -rounds.warmUp; round < rounds.steps; round++) {
      progress(`${group.task}: ${round < 0 ? "warming up" : `round ${round + 1} of ${rounds.steps}`}`);
      await forEach(round + rounds.warmUp, async (one) => {
        const before = busySeconds();
        const { seconds, cpu_seconds, tokens_per_second, loss, ...rest } = await one.side.step();
        one.firstLoss ??= loss;
        if (round < 0) return;
        one.seconds.push(seconds);
        one.cpuSeconds.push(cpu_seconds);
        if (tokens_per_second !== undefined) one.tokensPerSecond.push(tokens_per_second);
        if (rest.empty_rss_bytes !== undefined) one.empty.push(rest.empty_rss_bytes);
        if (rest.held !== undefined) one.held.push(rest.held);
        const after = busySeconds();
        // A step that is a process of its own takes more than it tells of.
        const alone = rest.empty_rss_bytes === undefined;
        if (alone && before !== undefined && after !== undefined)
          others.push((after - before - cpu_seconds) / seconds);
      });
    }
    const peaks = new Map<Running, number>();
    await forEach(0, async (one) => void peaks.set(one, await one.side.quit()));
    for (let round = 0; round < rounds.starts; round++) {
      progress(`${group.task}: start ${round + 1} of ${rounds.starts}`);
      await forEach(round, async (one) => void one.starts.push((await runOnce(one.side.spec)).seconds));
    }
    return {
      task: group.task,
      relation,
      rounds,
      sides: running.map((one) => summary(one, peaks.get(one)!)),
      ...(others.length === 0 ? {} : { others_busy: Math.max(0, ...others) }),
      absent,
    };
  } finally {
    await Promise.all(running.map(({ side }) => side.close()));
  }
}

function summary(one: Running, peak: number): Measured {
  const { side, seconds, cpuSeconds, tokensPerSecond, empty, held, starts, firstLoss } = one;
  const { import_seconds, load_seconds, versions, settings } = side.facts;
  return {
    name: side.spec.name,
    label: side.spec.label,
    step_seconds: median(seconds),
    step_seconds_all: seconds,
    step_cpu_seconds: median(cpuSeconds),
    ...(tokensPerSecond.length === 0 ? {} : { tokens_per_second: median(tokensPerSecond) }),
    peak_rss_bytes: peak,
    ...(empty.length === 0 ? {} : { empty_rss_bytes: median(empty) }),
    ...(held.length === 0 ? {} : { held: Math.max(...held) }),
    ...(starts.length === 0 ? {} : { first_step_seconds: median(starts) }),
    first_step_seconds_all: starts,
    import_seconds,
    load_seconds,
    ...(firstLoss === undefined ? {} : { first_loss: firstLoss }),
    versions,
    settings,
  };
}

/** Seconds that all processors together were busy since the machine started; undefined where /proc is absent. */
function busySeconds(): number | undefined {
  try {
    const [user, nice, system, , , irq, softirq, steal] = readFileSync("/proc/stat", "utf8")
      .split("\n", 1)[0]!
      .split(/\s+/)
      .slice(1)
      .map(Number);
    // In hundredths of a second.
    return (user! + nice! + system! + irq! + softirq! + steal!) / 100;
  } catch {
    return undefined;
  }
}
