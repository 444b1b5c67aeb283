/** @file Which beams of one prompt go on, and which are complete: the rules of transformers' beam search. */
import type { BeamSettings } from "./settings.js";
import type { StopReason } from "./options.js";

export interface Beam {
  readonly tokens: readonly number[];
  /** Sum of the tokens' log-probabilities; of complete ones over length^lengthPenalty. */
  readonly score: number;
  readonly stopped: StopReason | undefined;
}

/** A continuation of a beam by one token. */
export interface Candidate {
  /** Which of the running beams. */
  readonly beam: number;
  readonly token: number;
  readonly score: number;
  readonly stopped: StopReason | undefined;
}

/** What beams weigh that are not to be taken. */
const never = -1e9;

/** The beams of one prompt. Scores are rounded to float32, as those they come from. */
export class BeamState {
  readonly #settings: BeamSettings;
  readonly #maxNewTokens: number;
  #running: Beam[];
  #parents: number[];
  #complete: Beam[] = [];
  #done = false;

  constructor(settings: BeamSettings, maxNewTokens: number) {
    this.#settings = settings;
    this.#maxNewTokens = maxNewTokens;
    // All beams are equal at first: only the first one may be continued.
    this.#running = Array.from({ length: settings.count }, (_, i) => ({
      tokens: [],
      score: i === 0 ? 0 : never,
      stopped: undefined,
    }));
    this.#parents = this.#running.map((_, i) => i);
  }

  /** The beams to continue, best first. */
  get running(): readonly Beam[] {
    return this.#running;
  }

  /** Which beam of the step before each of them goes on from. */
  get parents(): readonly number[] {
    return this.#parents;
  }

  /** Whether nothing more can change the result. */
  get done(): boolean {
    return this.#done;
  }

  /** The best complete sequences, best first. */
  best(count: number): readonly Beam[] {
    return [...this.#complete, ...this.#running].slice(0, count);
  }

  /** @param candidates continuations of the running beams, best first. */
  step(candidates: readonly Candidate[]): void {
    if (this.#done) return;
    const { count, lengthPenalty, earlyStopping } = this.#settings;
    const beams = candidates.map(({ beam, token, score, stopped }) => ({
      parent: beam,
      beam: { tokens: [...this.#running[beam]!.tokens, token], score, stopped },
    }));
    const length = beams[0]!.beam.tokens.length;

    const ended = beams
      .slice(0, count)
      .filter(({ beam }) => beam.stopped !== undefined)
      .map(({ beam }) => ({ ...beam, score: Math.fround(beam.score / length ** lengthPenalty) }));
    this.#complete = [...this.#complete, ...ended].sort((a, b) => b.score - a.score).slice(0, count);

    const going = beams
      .map(({ parent, beam }) => ({
        parent,
        beam: beam.stopped === undefined ? beam : { ...beam, score: Math.fround(beam.score + never) },
      }))
      .sort((a, b) => b.beam.score - a.beam.score)
      .slice(0, count);
    this.#running = going.map(({ beam }) => beam);
    this.#parents = going.map(({ parent }) => parent);

    const isFull = this.#complete.length === count;
    const reach = earlyStopping === "never" && lengthPenalty > 0 ? this.#maxNewTokens : length;
    const hoped = Math.fround(this.#running[0]!.score / reach ** lengthPenalty);
    this.#done =
      beams.every(({ beam }) => beam.stopped !== undefined) ||
      (isFull && (earlyStopping === true || hoped <= this.#complete.at(-1)!.score));
  }
}
