/** @file What `craft eval` prints. */
export interface Score {
  readonly values: Readonly<Record<string, number>>;
  /** Digits after the point, for reading; JSON has all. */
  readonly digits: number;
  /** How it was computed, to be quoted beside it. */
  readonly signature?: string;
  /** What else there is to know, for reading. */
  readonly note?: string;
}

/** One line for each score. */
export const scoreLines = (scores: readonly Score[]): string =>
  scores
    .map(({ values, digits, signature, note }) => {
      const numbers = Object.entries(values).map(([name, value]) => {
        return `${name} ${Number.isInteger(value) && name === "tokens" ? value : value.toFixed(digits)}`;
      });
      const more = [note, signature].filter((text) => text !== undefined).map((text) => ` (${text})`);
      return `${numbers.join("  ")}${more.join("")}\n`;
    })
    .join("");

/** One object of all values, with the signatures by the first value's name. */
export function scoreJson(scores: readonly Score[]): string {
  const values = Object.assign({}, ...scores.map((score) => score.values)) as Record<string, number>;
  const signatures = Object.fromEntries(
    scores.flatMap(({ values: own, signature }) =>
      signature === undefined ? [] : [[Object.keys(own)[0]!, signature] as const],
    ),
  );
  return `${JSON.stringify({ ...values, ...(Object.keys(signatures).length > 0 && { signatures }) })}\n`;
}
