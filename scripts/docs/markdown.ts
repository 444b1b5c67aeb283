/** @file What the documentation check reads out of a Markdown file: code blocks with their markers, links, headings. */

/** What a comment before a code block asks for. */
export type Marker =
  /** `<!-- run -->`: a shell block that is executed. */
  | { readonly kind: "run" }
  /** `<!-- file: NAME -->`: the block becomes a file that later blocks of the document can read. */
  | { readonly kind: "file"; readonly path: string }
  /** `<!-- excerpt: PATH -->`: every line of the block stands in that file of the repository, in this order. */
  | { readonly kind: "excerpt"; readonly path: string }
  /** `<!-- type-checked only: REASON -->`: a TypeScript block that is not executed. */
  | { readonly kind: "type-checked"; readonly reason: string };

export interface Block {
  /** The document, as it is called in messages. */
  readonly file: string;
  /** Line of the document on which the code begins, counted from 1. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  readonly marker: Marker | undefined;
}

/** A piece of a document with the line it stands on. */
export interface Mention {
  readonly line: number;
  readonly text: string;
}

export interface Document {
  readonly file: string;
  readonly blocks: readonly Block[];
  /** Targets of links and images. */
  readonly links: readonly Mention[];
  /** Text between backticks. */
  readonly spans: readonly Mention[];
  /** Anchors of the headings. */
  readonly anchors: readonly string[];
}

/** A fault in a document, and where it is. */
export class DocError extends Error {
  override readonly name = "DocError";

  constructor(file: string, line: number, reason: string) {
    super(`${file}:${line}: ${reason}`);
  }
}

const markers: readonly (readonly [RegExp, (text: string) => Marker])[] = [
  [/^run$/, () => ({ kind: "run" })],
  [/^file: (\S+)$/, (path) => ({ kind: "file", path })],
  [/^excerpt: (\S+)$/, (path) => ({ kind: "excerpt", path })],
  [/^type-checked only: (.+)$/, (reason) => ({ kind: "type-checked", reason })],
];

const comment = /^\s*<!--\s*(.*?)\s*-->\s*$/;

function readMarker(file: string, line: number, text: string): Marker | undefined {
  if (text === "prettier-ignore") return undefined;
  for (const [pattern, make] of markers) {
    const found = pattern.exec(text);
    if (found !== null) return make(found[1] ?? "");
  }
  throw new DocError(file, line, `the comment before this block, "${text}", is no marker`);
}

/** Reads a document. @throws DocError for a block without an end and for an unknown marker. */
export function readDocument(file: string, content: string): Document {
  const lines = content.split("\n");
  const blocks: Block[] = [];
  const links: Mention[] = [];
  const spans: Mention[] = [];
  const anchors: string[] = [];
  let pending: string | undefined;
  for (let i = 0; i < lines.length; i++) {
    const text = lines[i]!;
    const fence = /^(\s*)(`{3,})\s*(\S*)/.exec(text);
    if (fence !== null) {
      const [, indent = "", ticks = "", language = ""] = fence;
      const end = lines.findIndex((line, at) => at > i && line.trim() === ticks);
      if (end < 0) throw new DocError(file, i + 1, "the code block has no end");
      const code = lines.slice(i + 1, end).map((line) => line.replace(new RegExp(`^${indent}`), ""));
      const marker = pending === undefined ? undefined : readMarker(file, i + 1, pending);
      blocks.push({ file, line: i + 2, language, code: `${code.join("\n")}\n`, marker });
      pending = undefined;
      i = end;
      continue;
    }
    pending = comment.exec(text)?.[1] ?? (text.trim() === "" ? pending : undefined);
    for (const [, span = ""] of text.matchAll(/`([^`]+)`/g)) spans.push({ line: i + 1, text: span });
    const prose = text.replaceAll(/`[^`]*`/g, "");
    for (const [, target = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g))
      links.push({ line: i + 1, text: target });
    const heading = /^#{1,6}\s+(.*)$/.exec(text)?.[1];
    if (heading !== undefined) anchors.push(anchorOf(heading));
  }
  return { file, blocks, links, spans, anchors };
}

/** The anchor that code hosts give a heading. */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}
