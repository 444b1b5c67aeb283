/**
 * @file Checks the documentation: TypeScript blocks and examples compile and run against the built package, run files
 * are valid, marked shell blocks work, excerpts and links are true. Stops at the first fault, with file and line.
 *
 *   npm run build && npm run docs:check [FILE …]
 *
 * How blocks are marked is told in scripts/docs/markdown.ts. All blocks of a document share one temporary folder, so
 * that a block can use the files of those before it.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { checkBlock, compileBlocks, kindOf } from "./docs/blocks.js";
import { DocError, readDocument, type Document } from "./docs/markdown.js";
import { checkReferences } from "./docs/references.js";
import { Workspace } from "./docs/workspace.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function documents(): string[] {
  const named = process.argv.slice(2);
  if (named.length > 0) return named.map((path) => relative(root, path));
  const top = readdirSync(root).filter((name) => name.endsWith(".md"));
  const pages = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" });
  const examples = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts"));
  return [
    ...[...top, ...pages.filter((name) => name.endsWith(".md")).map((name) => join("docs", name))].sort(),
    ...examples.map((name) => join("examples", name)).sort(),
  ];
}

/** An example is checked like a document of one block. */
function readFile(file: string): Document {
  const content = readFileSync(join(root, file), "utf8");
  if (!file.endsWith(".ts")) return readDocument(file, content);
  const block = { file, line: 1, language: "ts", code: content, marker: undefined };
  return { file, blocks: [block], links: [], spans: [], anchors: [] };
}

/** The blocks run on what is built, which must be what is in src. */
function isBuilt(): boolean {
  const built = join(root, "dist/index.js");
  const newest = (folder: string): number =>
    Math.max(
      ...readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts"))
        .map((name) => statSync(join(folder, name)).mtimeMs),
    );
  return existsSync(built) && statSync(built).mtimeMs >= newest(join(root, "src"));
}

let passed = 0;
const tell = (what: string, began?: number): void => {
  passed++;
  const seconds = began === undefined ? "" : ` (${((performance.now() - began) / 1000).toFixed(1)} s)`;
  process.stdout.write(`ok ${what}${seconds}\n`);
};

async function checkAll(read: readonly Document[], workspaces: readonly Workspace[]): Promise<void> {
  for (const document of read) tell(`${document.file}: ${checkReferences(document, root)} references`);
  const began = performance.now();
  const placed = read.flatMap(({ blocks }, i) => blocks.map((block) => [workspaces[i]!, block] as const));
  tell(`${compileBlocks(placed)} TypeScript blocks compile`, began);
  for (const [workspace, block] of placed) {
    const start = performance.now();
    const done = await checkBlock(workspace, block, root);
    if (done !== undefined) tell(`${block.file}:${block.line}: ${kindOf(block)}, ${done}`, start);
  }
}

async function main(): Promise<number> {
  const workspaces: Workspace[] = [];
  try {
    const read = documents().map(readFile);
    for (const _ of read) workspaces.push(new Workspace(root));
    await checkAll(read, workspaces);
    process.stdout.write(`${passed} passed, 0 failed\n`);
    return 0;
  } catch (error) {
    const text =
      error instanceof DocError ? error.message : error instanceof Error ? error.stack : String(error);
    process.stderr.write(`${text}\n`);
    process.stdout.write(`${passed} passed, 1 failed\n`);
    return 1;
  } finally {
    for (const workspace of workspaces) workspace.dispose();
  }
}

if (isBuilt()) process.exitCode = await main();
else {
  process.stderr.write("dist is missing or older than src: run `npm run build` first\n");
  process.exitCode = 1;
}
