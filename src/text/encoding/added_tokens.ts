import type { Normalizer } from "./normalizers.js";
import { Piece } from "./piece.js";

/** A token that is found in the text before anything else happens to it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Only where it is not part of a longer word. */
  readonly singleWord: boolean;
  /** Whether white space to its left or right belongs to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Whether it is looked for after normalisation rather than before. */
  readonly normalized: boolean;
  /** Whether decoding may leave it out. */
  readonly special: boolean;
}

/** A stretch of text, or an added token where `token` is given. */
export interface Section {
  readonly piece: Piece;
  readonly token: AddedToken | undefined;
}

interface TrieNode {
  readonly next: Map<number, TrieNode>;
  token: AddedToken | undefined;
}

/** Finds the leftmost of some texts, and of those the longest. */
class Finder {
  private readonly root: TrieNode = { next: new Map(), token: undefined };

  constructor(entries: Iterable<readonly [string, AddedToken]>) {
    for (const [content, token] of entries) {
      let node = this.root;
      for (let i = 0; i < content.length; i++) {
        const unit = content.charCodeAt(i);
        let next = node.next.get(unit);
        if (next === undefined) node.next.set(unit, (next = { next: new Map(), token: undefined }));
        node = next;
      }
      if (content !== "") node.token = token;
    }
  }

  get isEmpty(): boolean {
    return this.root.next.size === 0;
  }

  find(text: string, from: number): { start: number; end: number; token: AddedToken } | undefined {
    for (let start = from; start < text.length; start++) {
      let node = this.root.next.get(text.charCodeAt(start));
      let best: { start: number; end: number; token: AddedToken } | undefined;
      for (let at = start + 1; node !== undefined; at++) {
        if (node.token !== undefined) best = { start, end: at, token: node.token };
        node = at < text.length ? node.next.get(text.charCodeAt(at)) : undefined;
      }
      if (best !== undefined) return best;
    }
    return undefined;
  }
}

const space = /^\p{White_Space}$/u;
const wordAtEnd = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const wordAtStart = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/** Whether a word goes on across either end of a stretch. */
function isInsideWord(text: string, start: number, end: number): boolean {
  return (
    wordAtEnd.test(text.slice(Math.max(0, start - 2), start)) || wordAtStart.test(text.slice(end, end + 2))
  );
}

export class AddedTokens {
  private readonly raw: Finder;
  private readonly normalized: Finder;
  private readonly normalizer: Normalizer | undefined;

  /** Tokens given later win over earlier ones with the same content. */
  constructor(tokens: Iterable<AddedToken>, normalizer: Normalizer | undefined) {
    const all = [...tokens];
    this.normalizer = normalizer;
    this.raw = new Finder(all.filter((t) => !t.normalized).map((t) => [t.content, t]));
    this.normalized = new Finder(
      all.filter((t) => t.normalized).map((t) => [this.normalize(Piece.source(t.content, false)).text, t]),
    );
  }

  /** Cuts the text at added tokens and normalises what is between them. */
  split(source: Piece): Section[] {
    return this.cut(source, this.raw).flatMap((section) => {
      return section.token === undefined
        ? this.cut(this.normalize(section.piece), this.normalized)
        : [section];
    });
  }

  private normalize(piece: Piece): Piece {
    return this.normalizer?.(piece) ?? piece;
  }

  private cut(piece: Piece, finder: Finder): Section[] {
    const { text } = piece;
    if (text === "") return [];
    if (finder.isEmpty) return [{ piece, token: undefined }];
    const sections: Section[] = [];
    let done = 0;
    for (let match = finder.find(text, 0); match !== undefined; match = finder.find(text, match.end)) {
      const { token } = match;
      let { start, end } = match;
      if (token.singleWord && isInsideWord(text, start, end)) continue;
      while (token.lstrip && start > done && space.test(text.charAt(start - 1))) start--;
      while (token.rstrip && space.test(text.charAt(end))) end++;
      if (start > done) sections.push({ piece: piece.slice(done, start), token: undefined });
      sections.push({ piece: piece.slice(start, end), token });
      done = end;
    }
    if (done < text.length) sections.push({ piece: piece.slice(done, text.length), token: undefined });
    return sections;
  }
}
