import { setImmediate as breathe } from "node:timers/promises";
import { bucketSize } from "../data/buckets.js";
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import { HostTensor, type Fed, type Materialized } from "../tensor/index.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { uniformFor, type Choice } from "./choose.js";
import type { GenerateSettings, StopReason } from "./options.js";
import type { Programs, Step } from "./programs.js";

/** Continuations in the order of the prompts. */
export interface Generation {
  /** The new tokens of each row, with the end-of-sequence token if one came. */
  readonly sequences: number[][];
  /** Why each row ended. */
  readonly stopped: StopReason[];
}

/** How long native work may keep the event loop waiting, in milliseconds. */
const breathEvery = 50;

/** Columns of cache beyond the prompt that are made at first; more are added when they are needed. */
const firstColumns = 128;

/** Rows that are continued together, until the last of them ends. */
export class Batch {
  readonly #programs: Programs;
  readonly #settings: GenerateSettings;
  /** Places of the rows in `inputIds`. */
  readonly #rows: readonly number[];
  readonly #result: Generation;
  readonly #running: Set<number>;
  readonly #structure: string;
  /** Columns of the padded prompts. */
  readonly #columns: number;
  readonly #starts: HostTensor;

  constructor(
    model: CausalLM,
    programs: Programs,
    settings: GenerateSettings,
    rows: readonly number[],
    result: Generation,
  ) {
    this.#programs = programs;
    this.#settings = settings;
    this.#rows = rows;
    this.#result = result;
    this.#running = new Set(rows);
    this.#structure = model
      .parameters()
      .map(({ id }) => id)
      .join();
    const lengths = rows.map((row) => settings.inputIds[row]!.length);
    this.#columns = bucketSize(Math.max(...lengths));
    const starts = lengths.map((length) => this.#columns - length);
    this.#starts = new HostTensor(starts, [rows.length], "int64");
  }

  async run(): Promise<void> {
    const { maxNewTokens } = this.#settings;
    const last = this.#columns + maxNewTokens;
    let capacity = bucketSize(Math.min(last, this.#columns + firstColumns));
    let step = await this.#prompt(capacity);
    let due = performance.now() + breathEvery;
    try {
      for (let index = 0; this.#record(step, index); index++) {
        if (performance.now() > due) {
          await breathe();
          due = performance.now() + breathEvery;
        }
        const column = this.#columns + index;
        if (column === capacity) {
          capacity = bucketSize(Math.min(last, 2 * capacity));
          step = await this.#grow(step, capacity);
        }
        step = await this.#next(step, column, index + 1);
      }
    } finally {
      release(step);
    }
  }

  async #prompt(capacity: number): Promise<Materialized<Step>> {
    const { inputIds, padTokenId } = this.#settings;
    const columns = this.#columns;
    const ids = new Int32Array(this.#rows.length * columns).fill(padTokenId);
    this.#rows.forEach((row, i) => ids.set(inputIds[row]!, (i + 1) * columns - inputIds[row]!.length));
    const padded = new HostTensor(ids, [this.#rows.length, columns], "int64");
    return this.#programs.prompt(padded, this.#starts, this.#choice(0), capacity, this.#structure);
  }

  async #next(step: Materialized<Step>, column: number, index: number): Promise<Materialized<Step>> {
    const place = new HostTensor([column], [1], "int64");
    const choice = this.#choice(index);
    try {
      return await this.#programs.next(step.token, this.#starts, choice, place, step.cache, this.#structure);
    } finally {
      step.token.dispose();
      step.sound.dispose();
    }
  }

  async #grow(step: Materialized<Step>, capacity: number): Promise<Materialized<Step>> {
    const cache = await this.#programs.grow(step.cache, capacity);
    for (const tensor of cacheTensors(step)) tensor.dispose();
    return { ...step, cache };
  }

  #choice(index: number): Fed<Choice> {
    const { temperature, seed } = this.#settings;
    if (temperature === 0) return { kind: "likeliest" };
    const uniform = this.#rows.map((row) => uniformFor(seed, row, index));
    return {
      kind: "random",
      temperature: new HostTensor([temperature], [], "float64"),
      uniform: new HostTensor(uniform, [uniform.length], "float64"),
    };
  }

  /** Takes over the tokens of the rows that are still running. Returns whether any goes on. */
  #record(step: Materialized<Step>, index: number): boolean {
    const { maxNewTokens, eosTokenIds, onToken } = this.#settings;
    const { sequences, stopped } = this.#result;
    const tokens = step.token.toNumbers();
    const sound = step.sound.toNumbers();
    this.#rows.forEach((row, i) => {
      if (!this.#running.has(row)) return;
      if (Number.isNaN(sound[i]))
        throw new CraftError({
          subject: `inputIds[${row}]`,
          reason: `the model's logits for token ${index} of the continuation are NaN`,
          remedy: "Check the weights, or use a wider dtype.",
        });
      const token = tokens[i]!;
      sequences[row]!.push(token);
      const ended = eosTokenIds.includes(token);
      if (ended) stopped[row] = "eos";
      if (ended || index + 1 === maxNewTokens) this.#running.delete(row);
      onToken({ row, index, token });
    });
    return this.#running.size > 0;
  }
}

const cacheTensors = ({ cache }: Materialized<Step>): DeviceTensor[] => [...cache.keys, ...cache.values];

function release(step: Materialized<Step>): void {
  for (const tensor of [step.token, step.sound, ...cacheTensors(step)]) tensor.dispose();
}
