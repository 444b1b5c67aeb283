import type { SplitBehavior } from "./config.js";
import type { Piece } from "./piece.js";

interface Stretch {
  start: number;
  end: number;
  readonly isMatch: boolean;
}

/**
 * Cuts a piece at the matches of a global pattern. What happens to a match itself:
 * removed, a piece of its own (isolated), joined to the text before or after it, or run together with
 * the matches next to it (contiguous). `invert` swaps matches and the text between them.
 */
export function cut(piece: Piece, pattern: RegExp, behavior: SplitBehavior, invert = false): Piece[] {
  return arrange(stretches(piece.text, pattern, invert), behavior)
    .filter(({ start, end }) => end > start)
    .map(({ start, end }) => piece.slice(start, end));
}

function stretches(text: string, pattern: RegExp, invert: boolean): Stretch[] {
  const found: Stretch[] = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    const end = match.index + match[0].length;
    if (match.index > at) found.push({ start: at, end: match.index, isMatch: invert });
    if (end > match.index) found.push({ start: match.index, end, isMatch: !invert });
    at = end;
  }
  if (at < text.length) found.push({ start: at, end: text.length, isMatch: invert });
  return found;
}

function arrange(found: readonly Stretch[], behavior: SplitBehavior): Stretch[] {
  switch (behavior) {
    case "isolated":
      return [...found];
    case "removed":
      return found.filter((stretch) => !stretch.isMatch);
    case "contiguous":
      return joined(found, (before, stretch) => before.isMatch === stretch.isMatch);
    case "mergedwithprevious":
      return joined(found, (before, stretch) => stretch.isMatch && !before.isMatch);
    case "mergedwithnext":
      return joined(found, (before, stretch) => before.isMatch && !stretch.isMatch);
  }
}

/** Joins neighbours where `joins(the one before, this one)` says so, by what they were before any joining. */
function joined(found: readonly Stretch[], joins: (before: Stretch, stretch: Stretch) => boolean): Stretch[] {
  const result: Stretch[] = [];
  for (const [i, stretch] of found.entries()) {
    const before = found[i - 1];
    const last = result.at(-1);
    if (before !== undefined && last !== undefined && joins(before, stretch)) last.end = stretch.end;
    else result.push({ ...stretch });
  }
  return result;
}
