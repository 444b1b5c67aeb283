/** @file How long the demo takes: guessed before it starts, corrected by what has passed. */
import { craftConfig, type CraftRun } from "./craft_runs.js";

/** Seconds on two cores, for the model that comes along. */
const guess = {
  score: 7,
  sftStep: 0.17,
  /** Beside the SFT step. */
  paired: 0.26,
  selfAlign: 0.1,
  chunks: 0.2,
  queue: 0.1,
};

/** A part of the demo, and how long it takes beside the others. */
export interface Part {
  readonly name: string;
  readonly seconds: number;
}

/** All parts in their order: base, SFT, and each CRAFT run; each with its scoring. */
export function partsOf(runs: readonly CraftRun[], steps: number): Part[] {
  const craftStep = (run: CraftRun): number => {
    const { craftUseGradcache, craftNegativeStrategy } = craftConfig(run, {}).values;
    return (
      guess.sftStep +
      (run.strategy === "paired_dataset" ? guess.paired : guess.selfAlign) +
      (craftUseGradcache ? guess.chunks : 0) +
      (craftNegativeStrategy === "queue" ? guess.queue : 0)
    );
  };
  return [
    { name: "base", seconds: guess.score },
    { name: "SFT", seconds: guess.score + steps * guess.sftStep },
    ...runs.map((run) => ({ name: run.name, seconds: guess.score + steps * craftStep(run) })),
  ];
}

/** Seconds that are left when the first `done` parts took `elapsed` seconds; before that, by the guess alone. */
export function secondsLeft(parts: readonly Part[], done: number, elapsed: number): number {
  const sum = (some: readonly Part[]): number => some.reduce((total, { seconds }) => total + seconds, 0);
  const [past, left] = [sum(parts.slice(0, done)), sum(parts.slice(done))];
  return past === 0 ? left : (left * elapsed) / past;
}

/** `40 seconds`, `7 minutes`. */
export const inWords = (seconds: number): string =>
  seconds < 90
    ? `${Math.max(1, Math.round(seconds / 10)) * 10} seconds`
    : `${Math.round(seconds / 60)} minutes`;
