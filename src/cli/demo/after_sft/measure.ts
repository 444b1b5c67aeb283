/** @file All scores of one model that went on from SFT. */
import { corpusChrf } from "../../../evaluation/index.js";
import { CraftError } from "../../../errors.js";
import type { CausalLM } from "../../../models/index.js";
import type { Tokenizer } from "../../../text/index.js";
import { DPOConfig, DPOTrainer } from "../../../trainers/index.js";
import type { LogEntry } from "../../../training/index.js";
import type { Setting } from "../measure.js";
import type { CompilerMessage } from "../messages.js";
import { scoreTranslations, type TranslationScores } from "../score.js";
import { survival, survivalReward } from "./literals.js";
import type { PreferenceRow } from "./preferences.js";

export interface AfterSftResult extends TranslationScores {
  /** "SFT", or the method, alone or with CRAFT. */
  readonly name: string;
  /** chrF, 0 to 100. */
  readonly chrf: number;
  /** Share of preferences whose chosen translation the model finds likelier, as a whole text. */
  readonly accuracy: number;
  /** Share of the literals of all messages that stand in their translations. */
  readonly kept: number;
  /** Mean reward of the translations of messages with literals. */
  readonly reward: number;
  readonly log: readonly LogEntry[];
  readonly seconds: number;
}

export interface Trained {
  readonly name: string;
  readonly model: CausalLM;
  readonly log: readonly LogEntry[];
  readonly seconds: number;
}

/** @param preferences of the held-out messages */
export async function measureAfterSft(
  { name, model, log, seconds }: Trained,
  { tokenizer, heldOut, format, to }: Setting,
  preferences: readonly PreferenceRow[],
): Promise<AfterSftResult> {
  const scores = await scoreTranslations(model, tokenizer, heldOut, format, to);
  const references = heldOut.map(({ text }) => text[to]);
  return {
    name,
    ...scores,
    chrf: corpusChrf(scores.translations, references).score,
    ...literalScores(heldOut, scores.translations),
    accuracy: await preferenceAccuracy(model, tokenizer, preferences),
    log,
    seconds,
  };
}

/** How literals fare in translations, one for each message. */
export function literalScores(
  messages: readonly CompilerMessage[],
  translations: readonly string[],
): { readonly kept: number; readonly reward: number } {
  let [wanted, kept, reward, count] = [0, 0, 0, 0];
  for (const [i, { text }] of messages.entries()) {
    const found = survival(text.en, translations[i]!);
    if (found.wanted === 0) continue;
    wanted += found.wanted;
    kept += found.kept;
    reward += survivalReward(text.en, translations[i]!);
    count++;
  }
  return { kept: kept / Math.max(1, wanted), reward: reward / Math.max(1, count) };
}

/** DPO's accuracy against no reference, which compares the log-probabilities of both texts. */
async function preferenceAccuracy(
  model: CausalLM,
  tokenizer: Tokenizer,
  preferences: readonly PreferenceRow[],
): Promise<number> {
  const trainer = new DPOTrainer({
    model,
    tokenizer,
    trainDataset: preferences,
    evalDataset: preferences,
    args: new DPOConfig({
      referenceFree: true,
      perDeviceEvalBatchSize: 32,
      maxLength: model.shape.maxLength,
      disableTqdm: true,
    }),
  });
  const { "eval_rewards/accuracies": accuracy } = await trainer.evaluate();
  if (accuracy === undefined)
    throw new CraftError({ subject: "eval_rewards/accuracies", reason: "was not computed" });
  return accuracy;
}
