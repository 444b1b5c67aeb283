import { createHash } from "node:crypto";
import { CraftError } from "../../errors.js";
import { targetLanguages, type CompilerMessage, type Language } from "./messages.js";
import { groupNearDuplicates } from "./near_duplicates.js";

export interface SplitOptions {
  /** How many messages to hold out. Default 256. */
  readonly heldOut?: number;
  /** Jaccard index from which two messages are near-duplicates. Default 0.6. */
  readonly similarity?: number;
  /** Another number holds out other messages. Default 0. */
  readonly seed?: number;
}

export interface MessageSplit {
  readonly training: readonly CompilerMessage[];
  readonly heldOut: readonly CompilerMessage[];
  /** Groups of near-duplicates, single messages included. */
  readonly groups: number;
  readonly largestGroup: number;
}

/** A family of near-duplicates larger than this stays in training: held out, it would count for too much. */
const largestHeldOutGroup = 8;

/**
 * Splits messages into those to train on and those to test with, such that no test message has a
 * near-duplicate in training, in English or in any translation: whole groups of near-duplicates go to one
 * side. The split depends on the messages and the options only, and is one for all target languages.
 *
 * @throws CraftError when the small groups do not yield that many messages.
 */
export function splitMessages(
  messages: readonly CompilerMessage[],
  options: SplitOptions = {},
): MessageSplit {
  const { heldOut: wanted = 256, similarity = 0.6, seed = 0 } = options;
  const languages: readonly Language[] = ["en", ...targetLanguages];
  const groups = groupNearDuplicates(
    messages.map(({ text }) => languages.map((language) => text[language])),
    similarity,
  );
  const shuffled = groups
    .filter((group) => group.length <= largestHeldOutGroup)
    .map((group) => ({ group, place: placeOf(Math.min(...group.map((item) => messages[item]!.code)), seed) }))
    .sort((a, b) => (a.place < b.place ? -1 : 1));
  const chosen = new Set<number>();
  for (const { group } of shuffled) {
    if (chosen.size + group.length <= wanted) for (const item of group) chosen.add(item);
  }
  if (chosen.size !== wanted || wanted < 1 || wanted >= messages.length) {
    throw new CraftError({
      subject: "heldOut",
      value: wanted,
      reason: `of ${messages.length} messages, ${chosen.size} can be held out without a near-duplicate in training`,
      remedy: "Ask for fewer messages, at least 1, or raise `similarity`",
    });
  }
  return {
    training: messages.filter((_, item) => !chosen.has(item)),
    heldOut: messages.filter((_, item) => chosen.has(item)),
    groups: groups.length,
    largestGroup: Math.max(...groups.map((group) => group.length)),
  };
}

function placeOf(code: number, seed: number): string {
  return createHash("sha256").update(`${seed} ${code}`).digest("hex");
}
