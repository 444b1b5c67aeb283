import { setImmediate as breathe } from "node:timers/promises";
import { bucketSize } from "../data/buckets.js";
import type { CausalLM } from "../models/causal_lm.js";
import { HostTensor, type Fed, type Materialized } from "../tensor/index.js";
import { breathEvery, firstColumns, notNumbers, structureOf } from "./batch.js";
import type { BeamPlan, BeamPrograms, BeamStep } from "./beam_programs.js";
import { BeamState, type Beam, type Candidate } from "./beam_state.js";
import type { StopReason } from "./options.js";
import type { Programs } from "./programs.js";
import { padPrompts } from "./prompts.js";
import type { BeamSettings, GenerateSettings } from "./settings.js";

type Step = Materialized<BeamStep>;

/** Beam search over some prompts together, until all are done. */
export class BeamSearch {
  readonly #programs: BeamPrograms;
  readonly #grow: Programs["grow"];
  readonly #settings: GenerateSettings;
  readonly #beams: BeamSettings;
  readonly #vocabSize: number;
  readonly #structure: string;
  /** Places in `inputIds`. */
  readonly #prompts: readonly number[];
  readonly #states: readonly BeamState[];

  constructor(
    model: CausalLM,
    programs: BeamPrograms,
    grow: Programs["grow"],
    settings: GenerateSettings,
    beams: BeamSettings,
    prompts: readonly number[],
  ) {
    this.#programs = programs;
    this.#grow = grow;
    this.#settings = settings;
    this.#beams = beams;
    this.#vocabSize = model.shape.vocabSize;
    this.#structure = structureOf(model);
    this.#prompts = prompts;
    this.#states = prompts.map(() => new BeamState(beams, settings.maxNewTokens));
  }

  /** The best sequences of each prompt, best first. */
  async run(): Promise<(readonly Beam[])[]> {
    const { inputIds, padTokenId, maxNewTokens, copies } = this.#settings;
    const { ids, columns, starts } = padPrompts(
      this.#prompts.map((prompt) => inputIds[prompt]!),
      padTokenId,
    );
    const last = columns + maxNewTokens;
    let capacity = bucketSize(Math.min(last, columns + firstColumns));
    const rowStarts = integers(starts.flatMap((start) => new Array<number>(this.#beams.count).fill(start)));
    let step = await this.#programs.prompt(
      ids,
      integers(starts),
      this.#sums(),
      this.#penalty(),
      this.#plan(capacity),
    );
    let due = performance.now() + breathEvery;
    try {
      for (let index = 0; ; index++) {
        this.#record(step, index);
        if (this.#states.every(({ done }) => done)) return this.#states.map((state) => state.best(copies));
        if (performance.now() > due) {
          await breathe();
          due = performance.now() + breathEvery;
        }
        const column = columns + index;
        if (column === capacity) {
          capacity = bucketSize(Math.min(last, 2 * capacity));
          const cache = await this.#grow(step.cache, capacity);
          for (const tensor of [...step.cache.keys, ...step.cache.values]) tensor.dispose();
          step = { ...step, cache };
        }
        step = await this.#next(step, rowStarts, column, capacity);
      }
    } finally {
      for (const tensor of [step.scores, step.places, ...step.cache.keys, ...step.cache.values])
        tensor.dispose();
      step.seen?.dispose();
    }
  }

  async #next(step: Step, starts: HostTensor, column: number, capacity: number): Promise<Step> {
    const { count } = this.#beams;
    const tokens = this.#states.flatMap(({ running }) => running.map((beam) => beam.tokens.at(-1)!));
    const order = this.#states.flatMap(({ parents }, prompt) =>
      parents.map((parent) => prompt * count + parent),
    );
    const past = { cache: step.cache, seen: step.seen };
    try {
      return await this.#programs.next(
        new HostTensor(tokens, [tokens.length, 1], "int64"),
        integers(order),
        starts,
        this.#sums(),
        this.#penalty(),
        integers([column]),
        past,
        this.#plan(capacity),
      );
    } finally {
      step.scores.dispose();
      step.places.dispose();
    }
  }

  #sums(): HostTensor {
    const sums = this.#states.flatMap(({ running }) => running.map(({ score }) => score));
    return new HostTensor(sums, [sums.length], "float32");
  }

  #penalty(): HostTensor | undefined {
    const { repetitionPenalty } = this.#settings;
    return repetitionPenalty === undefined ? undefined : new HostTensor([repetitionPenalty], [], "float32");
  }

  /** So many continuations are looked at that enough go on if all beams end with one of the tokens that end a row. */
  #plan(capacity: number): Fed<BeamPlan> {
    const { eosTokenIds, stopTokenIds } = this.#settings;
    const { count } = this.#beams;
    const ends = new Set([...eosTokenIds, ...stopTokenIds]).size;
    const keep = Math.min(Math.max(2, 1 + ends), this.#vocabSize) * count;
    return { capacity, beams: count, keep, structure: this.#structure };
  }

  #record(step: Step, index: number): void {
    const scores = step.scores.toNumbers();
    const places = step.places.toNumbers();
    const keep = scores.length / this.#states.length;
    this.#states.forEach((state, prompt) => {
      const own = scores.slice(prompt * keep, (prompt + 1) * keep);
      if (own.some(Number.isNaN)) throw notNumbers(this.#prompts[prompt]!, index);
      state.step(
        own.map((score, i): Candidate => {
          const place = places[prompt * keep + i]!;
          const token = place % this.#vocabSize;
          const beam = Math.floor(place / this.#vocabSize);
          return { beam, token, score, stopped: this.#stopReason(token, index) };
        }),
      );
    });
  }

  #stopReason(token: number, index: number): StopReason | undefined {
    const { eosTokenIds, stopTokenIds, maxNewTokens } = this.#settings;
    if (eosTokenIds.includes(token)) return "eos";
    if (stopTokenIds.includes(token)) return "stop";
    return index + 1 === maxNewTokens ? "length" : undefined;
  }
}

const integers = (values: readonly number[]): HostTensor => new HostTensor(values, [values.length], "int64");
