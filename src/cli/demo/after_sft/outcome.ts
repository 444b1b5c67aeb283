/** @file What a method added to the SFT model, as a table and in sentences that follow from the numbers. */
import type { Table } from "../../../report/index.js";
import type { CompilerMessage, TargetLanguage } from "../messages.js";
import type { AfterSftResult } from "./measure.js";
import { methodFacts, type Method } from "./methods.js";

export interface AfterSftOutcome {
  readonly method: Method;
  readonly to: TargetLanguage;
  /** SFT, the method without CRAFT, and with it. */
  readonly results: readonly AfterSftResult[];
  readonly heldOut: readonly CompilerMessage[];
  /** Preferences or prompts that the method was trained on. */
  readonly lessons: number;
  readonly heldOutPreferences: number;
  /** Messages that all of that was made of. */
  readonly training: number;
  readonly sftSteps: number;
  readonly steps: number;
  readonly seconds: number;
  readonly typescript: string;
}

export function tableOf(results: readonly AfterSftResult[]): Table {
  return {
    rows: results.map(({ name, accuracy, reward, kept, bleu, chrf, seconds }) => ({
      model: name,
      "preference accuracy": accuracy,
      reward,
      "literals kept": kept,
      BLEU: bleu,
      chrF: chrf,
      "training s": seconds,
    })),
    digits: {
      "preference accuracy": 3,
      reward: 3,
      "literals kept": 3,
      BLEU: 2,
      chrF: 2,
      "training s": 1,
    },
    better: {
      "preference accuracy": "higher",
      reward: "higher",
      "literals kept": "higher",
      BLEU: "higher",
      chrF: "higher",
    },
  };
}

export const whatIsMeasured = [
  "All on held-out messages. Preference accuracy: share of pairs whose professional translation the model finds likelier than the rejected text, which is the professional one with placeholders or quoted names swapped or lost, or that of a similar message.",
  "Literals are the placeholders ({0}) and quoted names of a message. Kept: the share of them that stands in the model's translation. Reward: the same share, less for literals that the message does not have, averaged over the messages with literals.",
] as const;

/** Most that BLEU may lose where a reward is learnt. */
const bleuAllowed = 1;

/** Says what came of it, whatever it is. */
export function summaryOf({ method, results }: AfterSftOutcome): string[] {
  const sft = results[0]!;
  const { lesson } = methodFacts[method];
  const [what, of] =
    lesson === "preferences"
      ? ([`preference accuracy`, (r: AfterSftResult) => r.accuracy] as const)
      : ([`the reward`, (r: AfterSftResult) => r.reward] as const);
  return results.slice(1).map((result) => {
    const [before, after] = [of(sft), of(result)].map((value) => value.toFixed(3));
    const verb = before === after ? "leaves" : of(result) > of(sft) ? "raises" : "lowers";
    const change = result.bleu - sft.bleu;
    const bleu =
      change >= -bleuAllowed
        ? `BLEU goes from ${sft.bleu.toFixed(2)} to ${result.bleu.toFixed(2)}`
        : `BLEU falls by ${(-change).toFixed(2)}, to ${result.bleu.toFixed(2)}`;
    const moved = before === after ? `at ${after}` : `from ${before} to ${after}`;
    return `${result.name} ${verb} ${what} ${moved}; ${bleu}.`;
  });
}
