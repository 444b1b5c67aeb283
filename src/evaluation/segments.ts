/** @file Texts that were made, and what they should have been. */
import { CraftError } from "../errors.js";

/** For each segment its reference, or several. */
export type References = readonly (string | readonly string[])[];

export interface Segment {
  readonly hypothesis: string;
  readonly references: readonly string[];
}

/** @throws CraftError when the lists differ in length or are empty, or a segment has no reference. */
export function checkSegments(hypotheses: readonly string[], references: References): Segment[] {
  if (hypotheses.length !== references.length || hypotheses.length === 0) {
    throw new CraftError({
      subject: "hypotheses and references",
      value: [hypotheses.length, references.length],
      reason: "there must be as many entries in the one as in the other, and at least one",
      remedy: "Pass one reference, or one list of references, for each hypothesis",
    });
  }
  return hypotheses.map((hypothesis, row) => {
    const given = references[row]!;
    const texts = typeof given === "string" ? [given] : given;
    if (texts.length > 0) return { hypothesis, references: texts };
    throw new CraftError({
      subject: `references[${row}]`,
      value: [],
      reason: "a segment needs a reference",
    });
  });
}

/** How many references each segment has, as signatures of sacreBLEU say it. */
export function referenceCount(segments: readonly Segment[]): string {
  const counts = new Set(segments.map(({ references }) => references.length));
  const [only] = counts;
  return counts.size === 1 ? String(only) : "var";
}
