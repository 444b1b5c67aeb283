/** @file Changes parsed templates, so that they are read as Python reads them. */
import { stripped, strftime } from "./python_text.js";
import type { Node } from "./template_blocks.js";

/** Functions that templates call; those with a dot stand in mended templates only, since no template can use such names. */
export const pythonHelpers = {
  "str.strip": (text: unknown, chars: unknown) => stripped("strip", text, chars),
  "str.lstrip": (text: unknown, chars: unknown) => stripped("lstrip", text, chars),
  "str.rstrip": (text: unknown, chars: unknown) => stripped("rstrip", text, chars),
  strftime_now: (format: unknown) => strftime(new Date(), String(format)),
} as const;

/** What stands in a template's body besides expressions that are printed. */
const statements = new Set([
  "Set",
  "If",
  "For",
  "Macro",
  "CallStatement",
  "FilterStatement",
  "Break",
  "Continue",
  "Comment",
  "StringLiteral",
]);

/**
 * Changes a parsed template in place:
 * - strip, lstrip and rstrip heed the characters to strip, which the library ignores;
 * - expressions are printed as Python's str() writes them.
 */
export function mendTemplate(node: unknown): void {
  if (Array.isArray(node)) node.forEach(mendTemplate);
  else if (node instanceof Map) for (const entry of node) mendTemplate(entry);
  if (!isNode(node)) return;
  for (const child of Object.values(node)) mendTemplate(child);
  if (node.type === "CallExpression") mendStrip(node);
  for (const key of ["body", "alternate", "defaultBlock"]) {
    const block: unknown = node[key];
    if (Array.isArray(block)) Reflect.set(node, key, block.map(printed));
  }
}

function mendStrip(call: Node): void {
  const { callee, args } = call;
  if (!isNode(callee) || callee.type !== "MemberExpression" || callee["computed"] === true) return;
  const method = callee["property"];
  if (!isNode(method) || !Array.isArray(args)) return;
  const name = `str.${String(method["value"])}`;
  if (!Object.hasOwn(pythonHelpers, name)) return;
  Reflect.set(call, "callee", { type: "Identifier", value: name });
  Reflect.set(call, "args", [callee["object"], ...(args as unknown[])]);
}

const printed = (node: unknown): unknown =>
  isNode(node) && !statements.has(node.type) ? { type: "Print", expression: node } : node;

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}
