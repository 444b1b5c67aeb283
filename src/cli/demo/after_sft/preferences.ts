/** @file Pairs of a good translation and a worse one. */
import type { CompilerMessage, TargetLanguage } from "../messages.js";
import { comparableWords } from "../near_duplicates.js";
import type { TaskFormat } from "../task.js";
import { literalsOf } from "./literals.js";

/** A row of DPO and ORPO. */
export interface PreferenceRow {
  readonly prompt: string;
  /** The professional translation. */
  readonly chosen: string;
  readonly rejected: string;
}

/**
 * Each message's translation, preferred to what a translation of it should not be: itself with two literals in each
 * other's place, or else without its last one, where it has any; and the translation of the message that is likest to it.
 */
export function preferencesOf(
  messages: readonly CompilerMessage[],
  { format, to }: { readonly format: TaskFormat; readonly to: TargetLanguage },
): PreferenceRow[] {
  const nearest = nearestOthers(messages, to);
  return messages.flatMap((message, i) => {
    const right = message.text[to];
    const near = messages[nearest[i]!];
    const wrong = [swapLiterals(right) ?? loseLiteral(right), near?.text[to]];
    return wrong
      .filter((text) => text !== undefined && text !== right)
      .map((text) => ({
        prompt: format.prompt(message),
        chosen: format.completion(message),
        rejected: format.completion({ ...message, text: { ...message.text, [to]: text } }),
      }));
  });
}

/** The translation with two placeholders, or two names, in each other's place; undefined where it has no two. */
export function swapLiterals(translation: string): string | undefined {
  const literals = literalsOf(translation);
  for (const [i, first] of literals.entries()) {
    const like = (other: string): boolean =>
      other !== first && other.startsWith("{") === first.startsWith("{");
    const second = literals.slice(i + 1).find(like);
    if (second === undefined) continue;
    const a = translation.indexOf(first);
    const b = translation.indexOf(second, a + first.length);
    const [before, between] = [translation.slice(0, a), translation.slice(a + first.length, b)];
    return `${before}${second}${between}${first}${translation.slice(b + second.length)}`;
  }
  return undefined;
}

/** The translation without its last literal; undefined where it has none. */
export function loseLiteral(translation: string): string | undefined {
  const last = literalsOf(translation).at(-1);
  if (last === undefined) return undefined;
  const at = translation.lastIndexOf(last);
  const without = `${translation.slice(0, at)}${translation.slice(at + last.length)}`;
  return without.replace(/\s+/gu, " ").trim();
}

/** For each message, the place of the one whose English is likest by words and whose translation is another. */
export function nearestOthers(messages: readonly CompilerMessage[], to: TargetLanguage): number[] {
  const words = messages.map(({ text }) => comparableWords(text.en));
  return messages.map((message, i) => {
    let [best, place] = [-1, -1];
    for (const [j, other] of messages.entries()) {
      if (other.text[to] === message.text[to]) continue;
      const likeness = jaccard(words[i]!, words[j]!);
      if (likeness > best) [best, place] = [likeness, j];
    }
    return place;
  });
}

function jaccard(left: ReadonlySet<string>, right: ReadonlySet<string>): number {
  let shared = 0;
  for (const word of left) if (right.has(word)) shared++;
  return shared / (left.size + right.size - shared);
}
