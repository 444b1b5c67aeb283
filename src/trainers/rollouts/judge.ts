/** @file Completions before the rewards. */
import { CraftError } from "../../errors.js";
import type { CausalLM } from "../../models/causal_lm.js";
import type { Tokenizer } from "../../text/index.js";
import type { TrainerState } from "../../training/index.js";
import type { RewardInput, TextOrMessages } from "../rewards/reward.js";
import type { RewardScorer, Scores } from "../rewards/scorer.js";
import type { PromptBatch } from "./loader.js";
import type { SampledCompletion } from "./sampler.js";

/** What rewards said of completions. */
export interface Judgement extends Scores {
  readonly texts: readonly string[];
  /** Columns for the table of completions. */
  readonly extra: Readonly<Record<string, readonly unknown[]>>;
  /** Numbers for the log. */
  readonly logged: Readonly<Record<string, number>>;
}

export interface JudgeOptions {
  readonly scorer: RewardScorer;
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer | undefined;
  readonly trainerState: () => TrainerState | undefined;
}

/** Gives completions to the rewards. @param copies completions of each prompt */
export async function judge(
  { prompts, where }: PromptBatch,
  completions: readonly SampledCompletion[],
  copies: number,
  { scorer, model, tokenizer, trainerState }: JudgeOptions,
): Promise<Judgement> {
  const each = <T>(list: readonly T[]): T[] => list.flatMap((one) => new Array<T>(copies).fill(one));
  const owners = each(prompts);
  const texts =
    tokenizer === undefined
      ? undefined
      : completions.map(({ ids }) => tokenizer.decode([...ids], { skipSpecialTokens: true }));
  const extra: Record<string, readonly unknown[]> = {};
  const numbers = new Map<string, number[]>();
  const names = new Set(prompts.flatMap(({ columns }) => Object.keys(columns)));
  const input: RewardInput = {
    get prompts() {
      return owners.map(({ prompt }) => prompt ?? withoutText());
    },
    get completions() {
      return (texts ?? withoutText()).map((text, i): TextOrMessages => {
        const conversational = typeof owners[i]!.prompt === "object";
        return conversational ? [{ role: "assistant", content: text }] : text;
      });
    },
    get texts() {
      return texts ?? withoutText();
    },
    promptIds: owners.map(({ promptIds }) => promptIds),
    completionIds: completions.map(({ ids }) => ids),
    columns: Object.fromEntries([...names].map((name) => [name, owners.map(({ columns }) => columns[name])])),
    where: each(where),
    trainerState: trainerState(),
    policy: { model, tokenizer },
    signal: new AbortController().signal,
    logExtra: (column, values) => void (extra[column] = values),
    logMetric: (name, value) => void numbers.set(name, [...(numbers.get(name) ?? []), value]),
  };
  const scores = await scorer.score(input);
  const logged = [...numbers].map(([name, values]) => [name, values.reduce((a, b) => a + b) / values.length]);
  return {
    ...scores,
    texts: texts ?? completions.map(({ ids }) => ids.join(" ")),
    extra,
    logged: Object.fromEntries(logged) as Record<string, number>,
  };
}

function withoutText(): never {
  throw new CraftError({
    subject: "tokenizer",
    reason: "is not given, and a reward reads the text of completions",
    remedy: "Give the tokenizer of the model, or a reward that reads completionIds.",
  });
}

/** @throws CraftError for a sampler that does not give as many completions as it should, or an empty one. */
export function requireCompletions(
  completions: readonly SampledCompletion[],
  { prompts, where }: PromptBatch,
  copies: number,
): void {
  const expected = prompts.length * copies;
  if (completions.length !== expected)
    throw new CraftError({
      subject: "sampler",
      value: `${completions.length} completions`,
      reason: `must give ${copies} of each of the ${prompts.length} prompts`,
    });
  completions.forEach(({ ids, logProbs }, i) => {
    const subject = `sampler, completion ${i} (${where[Math.floor(i / copies)]})`;
    if (ids.length === 0)
      throw new CraftError({
        subject,
        reason: "is empty: it has no token, not even one that ends it",
        remedy: "Give the end-of-sequence token with it.",
      });
    if (logProbs !== undefined && logProbs.length !== ids.length)
      throw new CraftError({
        subject,
        value: `${logProbs.length} log-probabilities`,
        reason: `must be as many as its ${ids.length} tokens`,
      });
  });
}
