/** For each UTF-16 unit of a piece: where in the source text it stands, from `starts[i]` up to `ends[i]`. */
export interface Spans {
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** A new text for the units from `start` up to `end` of the piece it is made from. */
export interface Part {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** A stretch of text on its way to tokens. It knows where it came from when offsets are asked for. */
export class Piece {
  readonly text: string;
  readonly spans: Spans | undefined;
  /** Whether it begins where the source text begins. */
  readonly atStart: boolean;

  constructor(text: string, spans: Spans | undefined, atStart: boolean) {
    this.text = text;
    this.spans = spans;
    this.atStart = atStart;
  }

  /** The whole source; characters outside the basic plane span both of their units. */
  static source(text: string, tracked: boolean): Piece {
    if (!tracked) return new Piece(text, undefined, true);
    const starts = new Int32Array(text.length);
    const ends = new Int32Array(text.length);
    for (let i = 0; i < text.length; i++) {
      const width = (text.codePointAt(i) ?? 0) > 0xffff ? 2 : 1;
      starts.fill(i, i, i + width);
      ends.fill(i + width, i, i + width);
      i += width - 1;
    }
    return new Piece(text, { starts, ends }, true);
  }

  slice(start: number, end: number): Piece {
    if (start === 0 && end === this.text.length) return this;
    const spans = this.spans && {
      starts: this.spans.starts.subarray(start, end),
      ends: this.spans.ends.subarray(start, end),
    };
    return new Piece(this.text.slice(start, end), spans, this.atStart && start === 0);
  }

  /** Where the units from `start` up to `end` came from; what was inserted stands where its neighbour does. */
  sourceSpan(start: number, end: number): [number, number] {
    const { spans } = this;
    if (spans === undefined) throw new Error("this piece was not tracked");
    const from = spans.starts[start] ?? spans.ends.at(-1) ?? 0;
    return [from, end > start ? (spans.ends[end - 1] ?? from) : from];
  }

  /** Puts the parts together. A part that repeats its units keeps their spans one by one. */
  rewrite(parts: readonly Part[]): Piece {
    const text = parts.map((part) => part.text).join("");
    if (this.spans === undefined) return new Piece(text, undefined, this.atStart);
    const starts = new Int32Array(text.length);
    const ends = new Int32Array(text.length);
    let at = 0;
    for (const part of parts) {
      const until = at + part.text.length;
      if (part.text.length === part.end - part.start && this.text.startsWith(part.text, part.start)) {
        starts.set(this.spans.starts.subarray(part.start, part.end), at);
        ends.set(this.spans.ends.subarray(part.start, part.end), at);
      } else {
        const [from, to] = this.sourceSpan(part.start, part.end);
        starts.fill(from, at, until);
        ends.fill(to, at, until);
      }
      at = until;
    }
    return new Piece(text, { starts, ends }, this.atStart);
  }

  /** Puts `text` in front; it stands where the first character does. */
  prepend(text: string): Piece {
    const first = (this.text.codePointAt(0) ?? 0) > 0xffff ? 2 : 1;
    const size = this.text.length;
    return this.rewrite([
      { text, start: 0, end: Math.min(first, size) },
      { text: this.text, start: 0, end: size },
    ]);
  }

  /** Replaces every match of a global pattern by `content`. */
  replaceAll(pattern: RegExp, content: string): Piece {
    const parts: Part[] = [];
    let at = 0;
    for (const match of this.text.matchAll(pattern)) {
      const end = match.index + match[0].length;
      parts.push({ text: this.text.slice(at, match.index), start: at, end: match.index });
      parts.push({ text: content, start: match.index, end });
      at = end;
    }
    if (parts.length === 0) return this;
    parts.push({ text: this.text.slice(at), start: at, end: this.text.length });
    return this.rewrite(parts);
  }
}
