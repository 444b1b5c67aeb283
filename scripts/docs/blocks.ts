/** @file Checks of code blocks by their language. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { DocError, type Block } from "./markdown.js";
import { checkExcerpt } from "./references.js";
import { Workspace, type Outcome } from "./workspace.js";

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  moduleDetection: ts.ModuleDetectionKind.Force,
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  types: ["node"],
  inlineSourceMap: true,
};

const isTypeScript = ({ language, marker }: Block): boolean =>
  ["ts", "typescript"].includes(language) && marker?.kind !== "excerpt";

/** Where a TypeScript block stands in its workspace. */
const moduleName = ({ line }: Block): string => `line_${line}.ts`;

/**
 * Type-checks all TypeScript blocks in one go and writes what they compile to beside them.
 *
 * @throws DocError with the compiler's first complaint.
 */
export function compileBlocks(placed: readonly (readonly [Workspace, Block])[]): number {
  const blocks = new Map<string, Block>();
  for (const [workspace, block] of placed) {
    if (isTypeScript(block)) blocks.set(workspace.write(moduleName(block), block.code), block);
  }
  const program = ts.createProgram([...blocks.keys()], compilerOptions);
  const complaint = ts.getPreEmitDiagnostics(program).find((d) => d.category === ts.DiagnosticCategory.Error);
  if (complaint !== undefined) {
    const text = ts.flattenDiagnosticMessageText(complaint.messageText, "\n  ");
    const block = complaint.file === undefined ? undefined : blocks.get(complaint.file.fileName);
    if (block === undefined) throw new Error(`${complaint.file?.fileName ?? "compiler"}: ${text}`);
    const { line } = ts.getLineAndCharacterOfPosition(complaint.file!, complaint.start ?? 0);
    throw new DocError(block.file, block.line + line, text);
  }
  program.emit();
  return blocks.size;
}

/** @throws DocError if the block is not what it says. Returns what was done, or undefined if there is nothing to do. */
export async function checkBlock(
  workspace: Workspace,
  block: Block,
  root: string,
): Promise<string | undefined> {
  const { file, line, language, code, marker } = block;
  if (marker?.kind === "excerpt") {
    checkExcerpt(file, line, code, marker.path, root);
    return `excerpt of ${marker.path}`;
  }
  if (marker?.kind === "file") workspace.write(marker.path, code);
  if (isTypeScript(block)) {
    if (marker?.kind === "type-checked") return "type-checked";
    const compiled = moduleName(block).replace(/ts$/, "js");
    const outcome = await workspace.run("node", ["--enable-source-maps", compiled]);
    if (outcome.code !== 0) throw failed(block, outcome);
    return "ran";
  }
  if (language === "yaml") return checkRunFile(block, root);
  if (language === "bash" && marker?.kind === "run") {
    const outcome = await workspace.run("bash", ["-euo", "pipefail", "-c", code]);
    if (outcome.code !== 0) throw failed(block, outcome);
    return "ran";
  }
  if (language === "bash") return checkCommands(block, workspace, root);
  if (marker?.kind === "run") throw new DocError(file, line, `blocks of ${language} cannot be run`);
  return marker === undefined ? undefined : "written";
}

/** Points into the document where the stack of a failed block points into its module. */
function failed(block: Block, { code, output }: Outcome): DocError {
  const at = new RegExp(`${moduleName(block).replace(".", "\\.")}:(\\d+)`).exec(output)?.[1];
  const line = at === undefined ? block.line : block.line + Number(at) - 1;
  const text = output.trim().split("\n").slice(-25).join("\n");
  return new DocError(block.file, line, `the block ends with code ${code ?? "none"}\n${text}`);
}

/**
 * A run file passes if `craft sft` gets as far as looking for its model: all options are known and in range then.
 * The model is named on the command line, as one that is nowhere.
 */
async function checkRunFile(block: Block, root: string): Promise<string> {
  const empty = new Workspace(root);
  try {
    empty.write("run.yaml", block.code);
    const args = ["sft", "--config", "run.yaml", "--model_name_or_path", "./nowhere"];
    const { code, output } = await empty.run("craft", args);
    if (code === 1 && output.startsWith("error: model_name_or_path = ./nowhere")) return "valid run file";
    throw new DocError(block.file, block.line, `craft sft does not take this run file:\n${output.trim()}`);
  } finally {
    empty.dispose();
  }
}

/** Commands that are shown but not run: their subcommands and options must exist. */
async function checkCommands(block: Block, workspace: Workspace, root: string): Promise<string | undefined> {
  let checked = 0;
  for (const [i, text] of block.code.replaceAll("\\\n", "  ").split("\n").entries()) {
    const found = /^\s*(?:npx )?craft(?: ([a-z]\S*))?(.*)$/.exec(text);
    if (found === null) continue;
    const [, command = "", rest = ""] = found;
    const help = await workspace.run("craft", [...(command === "" ? [] : [command]), "--help"]);
    const wrong = (what: string): DocError =>
      new DocError(block.file, block.line + i, `craft has no ${what}`);
    if (help.code !== 0 || !help.output.includes(`Usage: craft ${command}`))
      throw wrong(`command ${command}`);
    const known = new Set(help.output.match(/--[\w-]+/g));
    if (command === "sft") for (const option of runFileOptions(root)) known.add(`--${option}`);
    const unknown = rest.match(/(?<=\s)--[\w-]+/g)?.find((option) => !known.has(option));
    if (unknown !== undefined) throw wrong(`option ${unknown} for ${command}`);
    checked++;
  }
  return checked === 0 ? undefined : "commands and options exist";
}

/** The options in the tables of the page on run files, which test/pure/docs compares with the code. */
function runFileOptions(root: string): string[] {
  const page = readFileSync(join(root, "docs/guide/run_files.md"), "utf8");
  return [...page.matchAll(/^\| `([a-z_0-9]+)` /gm)].map(([, name]) => name!);
}

/** A short name for messages, e.g. `bash block`. */
export const kindOf = ({ language, marker }: Block): string =>
  `${language === "" ? "text" : language} block${marker?.kind === "file" ? ` ${marker.path}` : ""}`;
