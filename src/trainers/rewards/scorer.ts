/** @file Calls reward functions, and keeps their failures from ending a run. */
import { setTimeout as wait } from "node:timers/promises";
import { CraftError } from "../../errors.js";
import { oneOf, withSignal, type NamedReward, type RewardInput } from "./reward.js";

export interface Scores {
  /** [completions][functions]; null where a function does not apply or has failed. */
  readonly rewards: readonly (readonly (number | null)[])[];
  /** How many completions each function has failed at, by its name. */
  readonly failures: Readonly<Record<string, number>>;
}

export interface RewardScorerOptions {
  readonly rewards: readonly NamedReward[];
  /** Seconds that a function has for a batch. */
  readonly timeLimit: number;
  /** Told of the first failure of each kind of each function. */
  readonly notice: (text: string) => void;
}

/** Batches in a row without a single reward, for failures, after which there is no use in going on. */
const patience = 3;

/** Rewards failed so often that there is no use in going on. */
export class RewardsFailedError extends CraftError {}

/** A function that did not come back in time. */
class TimeLimitError extends Error {}

/**
 * Calls all functions on a batch, at the same time where they are asynchronous. A failure costs the rewards that it is
 * about, which count as "does not apply":
 *
 * - a function that throws is called again with each completion by itself, so that only those count as failed at which it
 *   throws again;
 * - one that is not done in time, or does not give a list of one reward for each completion, has failed at all of them;
 * - a reward that is no finite number is a failure at its completion.
 *
 * What went wrong is told once for each function and kind, with the example. A synchronous function that never returns
 * cannot be stopped from inside its process.
 */
export class RewardScorer {
  readonly names: readonly string[];
  readonly #options: RewardScorerOptions;
  readonly #told = new Set<string>();
  #barren = 0;
  #lastFailure: CraftError | undefined;

  constructor(options: RewardScorerOptions) {
    this.#options = options;
    this.names = options.rewards.map(({ name }) => name);
  }

  /** @throws RewardsFailedError after three batches in which, for failures, no completion got any reward. */
  async score(input: RewardInput): Promise<Scores> {
    const { rewards } = this.#options;
    const columns = await Promise.all(rewards.map((reward) => this.#column(reward, input)));
    const values = input.completionIds.map((_, i) => columns.map((column) => column.values[i]!));
    const failures = Object.fromEntries(rewards.map(({ name }, k) => [name, columns[k]!.failed]));
    const failed = columns.some((column) => column.failed > 0);
    const barren = failed && values.every((row) => row.every((value) => value === null));
    this.#barren = barren ? this.#barren + 1 : 0;
    if (this.#barren >= patience) throw this.#givesUp();
    return { rewards: values, failures };
  }

  async #column(
    reward: NamedReward,
    input: RewardInput,
  ): Promise<{ readonly values: (number | null)[]; readonly failed: number }> {
    const count = input.completionIds.length;
    const none = { values: new Array<null>(count).fill(null), failed: count };
    let given: unknown;
    try {
      given = await this.#timed(reward, input);
    } catch (error) {
      if (error instanceof TimeLimitError) {
        this.#tell(reward, "time", input, 0, error.message);
        return none;
      }
      if (count > 1) return this.#oneByOne(reward, input);
      this.#tell(reward, "throws", input, 0, "throws", error);
      return none;
    }
    if (!Array.isArray(given) || given.length !== count) {
      const got = Array.isArray(given) ? `${given.length} rewards` : "no list of rewards";
      this.#tell(reward, "length", input, 0, `returned ${got} for ${count} completions`);
      return none;
    }
    let failed = 0;
    const values = given.map((value: unknown, i): number | null => {
      if (value === null || value === undefined) return null;
      if (typeof value === "number" && Number.isFinite(value)) return value;
      failed++;
      this.#tell(reward, "value", input, i, `returned ${shown(value)}, which is no finite number`);
      return null;
    });
    return { values, failed };
  }

  async #oneByOne(
    reward: NamedReward,
    input: RewardInput,
  ): Promise<{ readonly values: (number | null)[]; readonly failed: number }> {
    const values: (number | null)[] = [];
    let failed = 0;
    for (let i = 0; i < input.completionIds.length; i++) {
      const one = await this.#column(reward, oneOf(input, i));
      values.push(...one.values);
      failed += one.failed;
    }
    return { values, failed };
  }

  async #timed({ score }: NamedReward, input: RewardInput): Promise<unknown> {
    const { timeLimit } = this.#options;
    const limit = new AbortController();
    const over = new AbortController();
    const work = Promise.resolve(score(withSignal(input, limit.signal)));
    const late = wait(1000 * timeLimit, undefined, { signal: over.signal, ref: false }).then(() => {
      limit.abort();
      throw new TimeLimitError(`was not done after ${timeLimit} s`);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      over.abort();
      // Whichever is left may still fail, when nobody listens any more.
      work.catch(() => undefined);
      late.catch(() => undefined);
    }
  }

  #tell(
    { name }: NamedReward,
    kind: string,
    input: RewardInput,
    i: number,
    what: string,
    cause?: unknown,
  ): void {
    const why =
      cause instanceof Error ? `: ${cause.message}` : cause === undefined ? "" : `: ${shown(cause)}`;
    const example = `${input.where[i]}, completion ${shownCompletion(input, i)}`;
    const reason = `${what}${why} (${example})`;
    this.#lastFailure = new CraftError({ subject: `reward ${name}`, reason, cause });
    if (this.#told.has(`${name} ${kind}`)) return;
    this.#told.add(`${name} ${kind}`);
    this.#options.notice(
      `reward ${name} ${reason}; such rewards are left out, and counted in rewards/${name}/failures`,
    );
  }

  #givesUp(): RewardsFailedError {
    return new RewardsFailedError({
      subject: "rewards",
      reason: `for failures no completion of the last ${patience} batches has got any: ${this.#lastFailure?.message ?? ""}`,
      remedy: "Mend the reward function, and go on from the checkpoint.",
      cause: this.#lastFailure,
    });
  }
}

/** The text of a completion, or its tokens where there is no tokenizer. */
function shownCompletion(input: RewardInput, i: number): string {
  const { tokenizer } = input.policy;
  const shown = tokenizer === undefined ? input.completionIds[i]!.join(" ") : input.texts[i]!;
  return JSON.stringify(shown.length > 120 ? `${shown.slice(0, 120)}…` : shown);
}

const shown = (value: unknown): string =>
  typeof value === "number" || typeof value === "string"
    ? String(value)
    : (JSON.stringify(value) ?? typeof value);
