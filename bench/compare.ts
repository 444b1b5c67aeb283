/** @file Ratios between our side and the peers of a group, and the floors that they should keep. */
import type { GroupResult, Measured } from "./rounds.js";
import { median } from "./statistics.js";

export interface Comparison {
  readonly task: string;
  readonly peer: string;
  readonly peer_label: string;
  /** The peer's time for a step over ours: how many times as fast we are. */
  readonly speed: number;
  /** Least and largest such ratio of a single round. */
  readonly speed_range: readonly [number, number];
  /** Our peak memory over the peer's. */
  readonly memory: number;
  /** The peer's peak memory over ours. */
  readonly growth: number;
  /** What the peer's peak is beside that of an empty process, over the size of what it loads. */
  readonly held?: number;
  /** Our time from process start to the first finished step over the peer's. */
  readonly start?: number;
}

/**
 * What should at least be reached. `speed` is a lower bound, the others are upper ones: `memory` and `start` of our
 * share, `cost` and `growth` of the step and the memory of a side that does more than the first, `held` of
 * what loading takes of memory, `peak` of the peak memory of the side itself, in GB.
 */
export interface Floor {
  readonly task: string;
  readonly peer: string;
  readonly measure: "speed" | "memory" | "start" | "cost" | "growth" | "held" | "peak";
  readonly bound: number;
}

export interface FloorResult extends Floor {
  /** Absent when the peer was. */
  readonly measured?: number;
  readonly met?: boolean;
}

/** Our side of a group against each peer in it. */
export function compareGroup({ task, sides }: GroupResult): Comparison[] {
  const ours = sides.find(({ name }) => name === "ours");
  if (ours === undefined) return [];
  return sides.filter((side) => side !== ours).map((peer) => compare(task, ours, peer));
}

function compare(task: string, ours: Measured, peer: Measured): Comparison {
  const byRound = ours.step_seconds_all.map((seconds, i) => peer.step_seconds_all[i]! / seconds);
  const starts =
    ours.first_step_seconds === undefined || peer.first_step_seconds === undefined
      ? undefined
      : ours.first_step_seconds / peer.first_step_seconds;
  return {
    task,
    peer: peer.name,
    peer_label: peer.label,
    speed: median(peer.step_seconds_all) / median(ours.step_seconds_all),
    speed_range: [Math.min(...byRound), Math.max(...byRound)],
    memory: ours.peak_rss_bytes / peer.peak_rss_bytes,
    growth: peer.peak_rss_bytes / ours.peak_rss_bytes,
    ...(peer.held === undefined ? {} : { held: peer.held }),
    ...(starts === undefined ? {} : { start: starts }),
  };
}

/** Floors beside what was measured. */
export function checkFloors(
  floors: readonly Floor[],
  comparisons: readonly Comparison[],
  groups: readonly GroupResult[] = [],
): FloorResult[] {
  return floors.map((floor) => {
    const found = comparisons.find(({ task, peer }) => task === floor.task && peer === floor.peer);
    const sides = groups.find(({ task }) => task === floor.task)?.sides;
    const peak = sides?.find(({ name }) => name === floor.peer)?.peak_rss_bytes;
    const measured =
      floor.measure === "peak"
        ? peak && peak / 1e9
        : found?.[floor.measure === "cost" ? "speed" : floor.measure];
    if (measured === undefined) return floor;
    const met = floor.measure === "speed" ? measured >= floor.bound : measured <= floor.bound;
    return { ...floor, measured, met };
  });
}
