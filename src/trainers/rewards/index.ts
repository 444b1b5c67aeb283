/** @file Rewards: what a function of one's own is told, and those that are built in. */
export {
  exactAnswer,
  numericAnswer,
  type AnswerOptions,
  type ExactAnswerOptions,
  type NumericAnswerOptions,
} from "./answers.js";
export {
  formatReward,
  jsonSchemaReward,
  lengthReward,
  softOverlongPunishment,
  thinkPattern,
  type FormatOptions,
  type JsonSchemaOptions,
  type LengthOptions,
  type LengthUnit,
  type SoftOverlongOptions,
} from "./form.js";
export { rewardModel, type RewardModelOptions } from "./model.js";
export {
  type NamedReward,
  type Reward,
  type RewardFunction,
  type RewardInput,
  type RewardValues,
  type TextOrMessages,
} from "./reward.js";
