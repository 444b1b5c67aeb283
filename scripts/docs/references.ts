/** @file Whether what a document names exists: linked files and headings, paths in backticks, npm scripts. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { DocError, readDocument, type Document, type Mention } from "./markdown.js";

const folders = "src|test|docs|scripts|parity|bench|assets|examples|bin|\\.ci";
const namedPath = new RegExp(`^(?:${folders})(?:/[\\w.@-]+)*/?$`);
const namedScript = /\bnpm run ([\w:.-]+)/g;

/** @throws DocError for the first thing that does not exist. Returns how many were looked at. */
export function checkReferences(document: Document, root: string): number {
  const { file, links, spans, blocks } = document;
  for (const link of links) checkLink(document, link, root);
  const paths = spans.filter(({ text }) => namedPath.test(text));
  for (const { line, text } of paths) {
    if (!existsSync(join(root, text))) throw new DocError(file, line, `${text} does not exist`);
  }
  const scripts = scriptsOf(root);
  const shell: readonly Mention[] = blocks
    .filter(({ language }) => language === "bash")
    .map(({ line, code }) => ({ line, text: code }));
  let named = 0;
  for (const { line, text } of [...spans, ...shell]) {
    for (const [, script = ""] of text.matchAll(namedScript)) {
      named++;
      if (!scripts.has(script)) throw new DocError(file, line, `package.json has no script "${script}"`);
    }
  }
  return links.length + paths.length + named;
}

function checkLink({ file, anchors }: Document, { line, text }: Mention, root: string): void {
  if (/^[a-z]+:/i.test(text)) return;
  const [target = "", anchor] = text.split("#");
  if (target === "") {
    if (!anchors.includes(anchor ?? ""))
      throw new DocError(file, line, `${file} has no heading "#${anchor}"`);
    return;
  }
  const path = normalize(join(dirname(file), target));
  const absolute = join(root, path);
  if (relative(root, absolute).startsWith(".."))
    throw new DocError(file, line, `${text} leads out of the project`);
  if (!existsSync(absolute)) throw new DocError(file, line, `the linked file ${path} does not exist`);
  if (anchor === undefined) return;
  if (!readDocument(path, readFileSync(absolute, "utf8")).anchors.includes(anchor))
    throw new DocError(file, line, `${path} has no heading "#${anchor}"`);
}

function scriptsOf(root: string): ReadonlySet<string> {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object };
  return new Set(Object.keys(scripts));
}

/** @throws DocError unless the lines of an excerpt stand in the file one after the other, gaps allowed at `…`. */
export function checkExcerpt(file: string, line: number, code: string, path: string, root: string): void {
  if (!existsSync(join(root, path))) throw new DocError(file, line, `${path} does not exist`);
  const source = readFileSync(join(root, path), "utf8")
    .split("\n")
    .map((text) => text.trim());
  const wanted = code
    .trimEnd()
    .split("\n")
    .map((text) => text.trim());
  let from = 0;
  let anywhere = true;
  for (const [i, text] of wanted.entries()) {
    if (text === "// …") {
      anywhere = true;
      continue;
    }
    const at = anywhere ? source.indexOf(text, from) : source[from] === text ? from : -1;
    if (at < 0) throw new DocError(file, line + i, `"${text}" does not stand in ${path} at this place`);
    from = at + 1;
    anywhere = false;
  }
}
