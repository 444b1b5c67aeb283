/** @file Rewards by a model that scores texts. */
import { CraftError } from "../../errors.js";
import type { SequenceClassifier } from "../../models/index.js";
import type { Tokenizer } from "../../text/index.js";
import type { NamedReward, RewardInput } from "./reward.js";

export interface RewardModelOptions {
  /** In logs. Default: the end of the model's path, or "reward_model". */
  readonly name?: string | undefined;
  /**
   * The model's own tokenizer: it is then given texts, prompt and completion, or their chat template. Without it the
   * model is given the policy's tokens, and must have its vocabulary.
   */
  readonly tokenizer?: Tokenizer | undefined;
  /** Texts that are scored at the same time. Default 8. */
  readonly batchSize?: number | undefined;
}

/**
 * The score that a sequence-classification model with one label, such as RewardTrainer trains, gives a prompt with its
 * completion.
 *
 * @throws CraftError for a model with several labels.
 */
export function rewardModel(model: SequenceClassifier, options: RewardModelOptions = {}): NamedReward {
  const { tokenizer, batchSize = 8 } = options;
  const path = model.trunk.nameOrPath;
  const name = options.name ?? path?.split(/[/\\]/u).findLast((part) => part !== "") ?? "reward_model";
  if (model.numLabels !== 1)
    throw new CraftError({
      subject: `reward ${name}`,
      value: `${model.numLabels} labels`,
      reason: "a reward model has one label",
      remedy: "Give a model that gives texts one score each.",
    });
  const score = async (input: RewardInput): Promise<number[]> => {
    const rows = tokenizer === undefined ? ownTokens(input, model, name) : templated(input, tokenizer);
    return (await model.predict(rows, { batchSize })).map(([value]) => value!);
  };
  return { name, score };
}

/** @throws CraftError for a model with another vocabulary. */
function ownTokens(input: RewardInput, model: SequenceClassifier, name: string): number[][] {
  const { policy, promptIds, completionIds } = input;
  const [own, policys] = [model.trunk.shape.vocabSize, policy.model.shape.vocabSize];
  if (own !== policys)
    throw new CraftError({
      subject: `reward ${name}`,
      value: `${own} tokens`,
      reason: `has another vocabulary than the policy, which has ${policys}, and no tokenizer of its own`,
      remedy: "Give its tokenizer: rewardModel(model, { tokenizer }).",
    });
  return promptIds.map((prompt, i) => [...prompt, ...completionIds[i]!]);
}

function templated({ prompts, completions }: RewardInput, tokenizer: Tokenizer): number[][] {
  return prompts.map((prompt, i) => {
    const completion = completions[i]!;
    if (typeof prompt === "string" || typeof completion === "string")
      return tokenizer.encode(`${asText(prompt)}${asText(completion)}`, { addSpecialTokens: false });
    return tokenizer.applyChatTemplate([...prompt, ...completion], {
      tokenize: true,
      returnAssistantTokensMask: false,
    });
  });
}

const asText = (part: unknown): string => (typeof part === "string" ? part : "");
