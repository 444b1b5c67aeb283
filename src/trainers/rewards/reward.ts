/** @file What a reward function is told, and what it may say. */
import { CraftError } from "../../errors.js";
import type { CausalLM } from "../../models/causal_lm.js";
import type { ChatMessage, Tokenizer } from "../../text/index.js";
import type { TrainerState } from "../../training/index.js";

/** A text, or a conversation where the dataset's prompts are conversations. */
export type TextOrMessages = string | readonly ChatMessage[];

/** Completions to be judged; all lists have one entry for each. */
export interface RewardInput {
  readonly prompts: readonly TextOrMessages[];
  /** As the prompts: texts, or one message of the assistant each. Special tokens are left out. */
  readonly completions: readonly TextOrMessages[];
  /** The text of each completion, whatever the prompts are. */
  readonly texts: readonly string[];
  readonly promptIds: readonly (readonly number[])[];
  /** With the token that ended the completion, if one did. */
  readonly completionIds: readonly (readonly number[])[];
  /** The dataset's other columns; those that a row lacks are undefined there. */
  readonly columns: Readonly<Record<string, readonly unknown[]>>;
  /** How errors name the dataset's rows. */
  readonly where: readonly string[];
  /** Where the run stands; undefined in evaluations outside of one. */
  readonly trainerState: TrainerState | undefined;
  /** The policy as it is now, for rewards that look inside it. */
  readonly policy: { readonly model: CausalLM; readonly tokenizer: Tokenizer | undefined };
  /** Aborted when the time limit is over. */
  readonly signal: AbortSignal;
  /** Adds a column to the table of completions. */
  readonly logExtra: (column: string, values: readonly unknown[]) => void;
  /** Adds a number to the log entry; several in one are averaged. */
  readonly logMetric: (name: string, value: number) => void;
}

/** A number for each completion; null where the function does not apply. */
export type RewardValues = readonly (number | null | undefined)[];

/** Judges completions. May be asynchronous; those of one batch then run at the same time. */
export type RewardFunction = (input: RewardInput) => RewardValues | Promise<RewardValues>;

/** A reward with the name that it has in logs. */
export interface NamedReward {
  readonly name: string;
  readonly score: RewardFunction;
}

/** Functions by their own name, or named. */
export type Reward = RewardFunction | NamedReward;

/**
 * @param weights one for each, if any
 * @throws CraftError for none, for functions without a name, for two of one name, and for other than one weight for each.
 */
export function namedRewards(
  rewards: Reward | readonly Reward[],
  weights?: readonly number[],
): NamedReward[] {
  const subject = "rewardFuncs";
  const list = isList(rewards) ? rewards : [rewards];
  if (list.length === 0)
    throw new CraftError({ subject, reason: "is empty, and without rewards there is nothing to learn" });
  const named = list.map((reward, i): NamedReward => {
    if (typeof reward === "function") {
      if (reward.name !== "") return { name: reward.name, score: reward };
      throw new CraftError({
        subject: `${subject}[${i}]`,
        reason: "is a function without a name, by which logs could tell of it",
        remedy: 'Give { name: "…", score: … }.',
      });
    }
    if (typeof reward.name === "string" && reward.name !== "" && typeof reward.score === "function")
      return reward;
    throw new CraftError({
      subject: `${subject}[${i}]`,
      value: reward,
      reason: "is no reward",
      remedy: "Give a function, or { name, score } with one.",
    });
  });
  if (weights !== undefined && weights.length !== named.length)
    throw new CraftError({
      subject: "reward_weights",
      value: weights,
      reason: `must be one for each of the ${named.length} rewards`,
    });
  const twice = named.find(({ name }, i) => named.findIndex((other) => other.name === name) !== i);
  if (twice === undefined) return named;
  throw new CraftError({
    subject,
    value: twice.name,
    reason: "is the name of two rewards, which logs could not tell apart",
    remedy: 'Give one of them as { name: "…", score: … }.',
  });
}

const isList = (rewards: Reward | readonly Reward[]): rewards is readonly Reward[] => Array.isArray(rewards);

/**
 * The same input with a time limit. Texts stay unread until the function reads them: there may be none.
 */
export function withSignal(input: RewardInput, signal: AbortSignal): RewardInput {
  return {
    get prompts() {
      return input.prompts;
    },
    get completions() {
      return input.completions;
    },
    get texts() {
      return input.texts;
    },
    promptIds: input.promptIds,
    completionIds: input.completionIds,
    columns: input.columns,
    where: input.where,
    trainerState: input.trainerState,
    policy: input.policy,
    signal,
    logExtra: (column, values) => input.logExtra(column, values),
    logMetric: (name, value) => input.logMetric(name, value),
  };
}

/** The part of an input that is about one completion. */
export function oneOf(input: RewardInput, i: number): RewardInput {
  const pick = <T>(list: readonly T[]): readonly T[] => [list[i]!];
  const { columns, trainerState, policy, signal } = input;
  return {
    get prompts() {
      return pick(input.prompts);
    },
    get completions() {
      return pick(input.completions);
    },
    get texts() {
      return pick(input.texts);
    },
    promptIds: pick(input.promptIds),
    completionIds: pick(input.completionIds),
    columns: Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, pick(values)])),
    where: pick(input.where),
    trainerState,
    policy,
    signal,
    // What a batch logged in part cannot be put together again.
    logExtra: () => undefined,
    logMetric: () => undefined,
  };
}

/**
 * A column that a reward reads.
 *
 * @throws CraftError naming the columns that there are.
 */
export function rewardColumn(input: RewardInput, name: string, reward: string): readonly unknown[] {
  const values = input.columns[name];
  if (values !== undefined) return values;
  const known = Object.keys(input.columns);
  throw new CraftError({
    subject: `reward ${reward}, column`,
    value: name,
    reason: `is not in the dataset, whose columns are ${known.length === 0 ? "the prompt alone" : known.join(", ")}`,
  });
}
