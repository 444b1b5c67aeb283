import { setImmediate as breathe } from "node:timers/promises";
import { bucketSize } from "../data/buckets.js";
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { HostTensor, type Fed, type Materialized } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { uniformFor, type Choice } from "./choose.js";
import type { GeneratedToken, StopReason } from "./options.js";
import { padPrompts, type PaddedPrompts } from "./prompts.js";
import type { Programs, Step } from "./programs.js";
import type { GenerateSettings } from "./settings.js";
import { StopText } from "./stop_text.js";

/** How long native work may keep the event loop waiting, in milliseconds. */
export const breathEvery = 50;

/** Columns of cache beyond the prompt that are made at first; more are added when they are needed. */
export const firstColumns = 128;

/** A token, and why its row ends with it if it does. */
export interface MadeToken extends GeneratedToken {
  readonly stopped: StopReason | undefined;
}

/** Rows that are continued together, until the last of them ends. */
export class Batch {
  readonly #programs: Programs;
  readonly #settings: GenerateSettings;
  /** Places of the rows in the result. */
  readonly #rows: readonly number[];
  readonly #running: Set<number>;
  readonly #stopTexts: ReadonlyMap<number, StopText>;
  readonly #structure: string;
  readonly #cacheLimits: readonly number[];
  /** Texts so far of the rows, where the model may have to read them again. */
  readonly #texts: readonly number[][];
  #prompts: PaddedPrompts;
  /** Column of the first token of each row. */
  #starts: HostTensor;

  /** @param prompts places in `inputIds` */
  constructor(model: CausalLM, programs: Programs, settings: GenerateSettings, prompts: readonly number[]) {
    const { copies, inputIds, stopText } = settings;
    this.#programs = programs;
    this.#settings = settings;
    this.#rows = prompts.flatMap((prompt) => Array.from({ length: copies }, (_, i) => prompt * copies + i));
    this.#running = new Set(this.#rows);
    this.#structure = structureOf(model);
    this.#prompts = padPrompts(
      prompts.map((prompt) => inputIds[prompt]!),
      settings.padTokenId,
    );
    this.#starts = rowStarts(this.#prompts, copies);
    this.#cacheLimits = model.cacheLimits;
    this.#texts =
      this.#cacheLimits.length === 0 ? [] : this.#rows.map((row) => [...inputIds[Math.floor(row / copies)]!]);
    this.#stopTexts = new Map(
      stopText === undefined
        ? []
        : this.#rows.map((row) => {
            const prompt = inputIds[Math.floor(row / copies)]!;
            return [row, new StopText(stopText.tokenizer, stopText.strings, prompt)];
          }),
    );
  }

  /** The tokens of each step, of the rows that are still running. Memory is freed when the iterator is left. */
  async *steps(): AsyncGenerator<readonly MadeToken[]> {
    const { maxNewTokens, copies } = this.#settings;
    // Column of a token: this and its number.
    let offset = this.#prompts.columns;
    let capacity = this.#capacity(offset);
    let step = await this.#prompt(capacity, copies, 0);
    let due = performance.now() + breathEvery;
    try {
      for (let index = 0; ; index++) {
        yield this.#record(step, index);
        if (this.#running.size === 0) return;
        if (performance.now() > due) {
          await breathe();
          due = performance.now() + breathEvery;
        }
        if (this.#outgrown()) {
          this.#prompts = padPrompts(this.#texts, this.#settings.padTokenId);
          this.#starts = rowStarts(this.#prompts, 1);
          offset = this.#prompts.columns - index - 1;
          capacity = this.#capacity(offset);
          const again = await this.#prompt(capacity, 1, index + 1);
          release(step);
          step = again;
          continue;
        }
        const column = offset + index;
        if (column === capacity) {
          capacity = bucketSize(Math.min(offset + maxNewTokens, 2 * capacity));
          step = await this.#grow(step, capacity);
        }
        step = await this.#next(step, column, index + 1);
      }
    } finally {
      release(step);
    }
  }

  /** Columns of cache to begin with, for the padded texts and some more tokens. */
  #capacity(offset: number): number {
    const { columns } = this.#prompts;
    return bucketSize(Math.min(offset + this.#settings.maxNewTokens, columns + firstColumns));
  }

  /** Whether the text of a row has just become so long that its cache says nothing about it any more. */
  #outgrown(): boolean {
    return this.#texts.some(
      ({ length }, i) => this.#running.has(this.#rows[i]!) && this.#cacheLimits.includes(length - 1),
    );
  }

  async #prompt(capacity: number, copies: number, index: number): Promise<Materialized<Step>> {
    const { ids, starts } = this.#prompts;
    const places = new HostTensor(starts, [starts.length], "int64");
    const plan = { capacity, copies, structure: this.#structure };
    return this.#programs.prompt(ids, places, this.#choice(index), plan);
  }

  async #next(step: Materialized<Step>, column: number, index: number): Promise<Materialized<Step>> {
    const place = new HostTensor([column], [1], "int64");
    const past = { cache: step.cache, seen: step.seen };
    try {
      const choice = this.#choice(index);
      return await this.#programs.next(step.token, this.#starts, choice, place, past, this.#structure);
    } finally {
      for (const tensor of answers(step)) tensor.dispose();
    }
  }

  async #grow(step: Materialized<Step>, capacity: number): Promise<Materialized<Step>> {
    const cache = await this.#programs.grow(step.cache, capacity);
    for (const tensor of [...step.cache.keys, ...step.cache.values]) tensor.dispose();
    return { ...step, cache };
  }

  #choice(index: number): Fed<Choice> {
    const { sampling, repetitionPenalty, logProbs, logProbsTemperature } = this.#settings;
    const scalar = (value: number): HostTensor => new HostTensor([value], [], "float64");
    return {
      penalty:
        repetitionPenalty === undefined ? undefined : new HostTensor([repetitionPenalty], [], "float32"),
      logProbs,
      logProbsTemperature: logProbsTemperature === undefined ? undefined : scalar(logProbsTemperature),
      sampling: sampling && {
        temperature: scalar(sampling.temperature),
        topK: sampling.topK,
        topP: sampling.topP < 1 ? scalar(sampling.topP) : undefined,
        minP: sampling.minP > 0 ? scalar(sampling.minP) : undefined,
        uniform: new HostTensor(
          this.#rows.map((row) => uniformFor(sampling.seed, row, index)),
          [this.#rows.length],
          "float64",
        ),
      },
    };
  }

  /** Reads the tokens of the rows that are still running, and takes out those that end. */
  #record(step: Materialized<Step>, index: number): MadeToken[] {
    const tokens = step.token.toNumbers();
    const sound = step.sound.toNumbers();
    const logProbs = readLogProbs(step.logProbs);
    const made: MadeToken[] = [];
    this.#texts.forEach((text, i) => text.push(tokens[i]!));
    this.#rows.forEach((row, i) => {
      if (!this.#running.has(row)) return;
      if (Number.isNaN(sound[i])) throw notNumbers(Math.floor(row / this.#settings.copies), index);
      const token = tokens[i]!;
      const stopped = this.#stopReason(row, token, index);
      if (stopped !== undefined) this.#running.delete(row);
      made.push({ row, index, token, stopped, ...(logProbs && { logProb: logProbs(i) }) });
    });
    return made;
  }

  #stopReason(row: number, token: number, index: number): StopReason | undefined {
    const { eosTokenIds, stopTokenIds, maxNewTokens } = this.#settings;
    if (eosTokenIds.includes(token)) return "eos";
    if (stopTokenIds.includes(token) || this.#stopTexts.get(row)?.push(token) === true) return "stop";
    return index + 1 === maxNewTokens ? "length" : undefined;
  }
}

/** int64 [rows]: where the text of each of `copies` rows of each prompt begins. */
function rowStarts({ starts }: PaddedPrompts, copies: number): HostTensor {
  const all = starts.flatMap((start) => new Array<number>(copies).fill(start));
  return new HostTensor(all, [all.length], "int64");
}

export const structureOf = (model: CausalLM): string =>
  model
    .parameters()
    .map(({ id }) => id)
    .join();

export const notNumbers = (prompt: number, index: number): CraftError =>
  new CraftError({
    subject: `inputIds[${prompt}]`,
    reason: `the model's logits for token ${index} of the continuation are NaN`,
    remedy: "Check the weights, or use a wider dtype.",
  });

function readLogProbs(
  logProbs: Materialized<Step>["logProbs"],
): ((row: number) => NonNullable<GeneratedToken["logProb"]>) | undefined {
  if (logProbs === undefined) return undefined;
  const chosen = logProbs.chosen.toNumbers();
  const values = logProbs.top?.values.toNumbers() ?? [];
  const indices = logProbs.top?.indices.toNumbers() ?? [];
  const count = values.length / chosen.length;
  return (row) => ({
    logProb: chosen[row]!,
    top: Array.from({ length: count }, (_, i) => ({
      token: indices[row * count + i]!,
      logProb: values[row * count + i]!,
    })),
  });
}

/** What the next step does not need. */
const answers = ({ token, sound, logProbs }: Materialized<Step>): DeviceTensor[] => [
  token,
  sound,
  ...(logProbs === undefined ? [] : [logProbs.chosen]),
  ...(logProbs?.top === undefined ? [] : [logProbs.top.values, logProbs.top.indices]),
];

function release(step: Materialized<Step>): void {
  const { cache, seen } = step;
  for (const tensor of [...answers(step), ...cache.keys, ...cache.values]) tensor.dispose();
  seen?.dispose();
}
