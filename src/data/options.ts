/** @file Options that a caller may have misspelt. */
import { CraftError } from "../errors.js";

/** @throws {@link CraftError} naming an option that is not among `accepted`, and those that are. */
export function refuseUnknown(subject: string, options: object, accepted: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (accepted.includes(name)) continue;
    throw new CraftError({
      subject: `${subject}, option ${name}`,
      reason: "there is no such option",
      remedy: `The options are ${accepted.join(", ")}`,
    });
  }
}

/** @throws {@link CraftError} if `value` is not one of `accepted`. */
export function requireOneOf<T extends string>(subject: string, value: string, accepted: readonly T[]): T {
  const found = accepted.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new CraftError({
    subject,
    value,
    reason: `must be one of ${accepted.map((name) => `"${name}"`).join(", ")}`,
  });
}
