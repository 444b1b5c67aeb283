/** @file Where the template library reads Jinja otherwise than Python does, and chat templates depend on it. */

/** Functions that mended templates call; no template can use these names itself. */
export const pythonHelpers = {
  "str.strip": (text: unknown, chars: unknown) => strip("strip", text, chars),
  "str.lstrip": (text: unknown, chars: unknown) => strip("lstrip", text, chars),
  "str.rstrip": (text: unknown, chars: unknown) => strip("rstrip", text, chars),
  "python.strftime_now": (format: unknown) => strftime(new Date(), String(format)),
} as const;

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

/**
 * Changes a parsed template in place:
 * - strip, lstrip and rstrip heed the characters to strip, which the library ignores;
 * - a variable that is none is printed as None, where the library prints nothing;
 * - strftime_now gives English names, where the library follows the machine's language.
 */
export function mendTemplate(node: unknown): void {
  if (Array.isArray(node)) node.forEach(mendTemplate);
  else if (node instanceof Map) for (const entry of node) mendTemplate(entry);
  if (!isNode(node)) return;
  for (const child of Object.values(node)) mendTemplate(child);
  if (node.type === "Identifier" && node["value"] === "strftime_now")
    set(node, "value", "python.strftime_now");
  if (node.type === "CallExpression") mendStrip(node);
  for (const key of ["body", "alternate", "defaultBlock"]) {
    const statements: unknown = node[key];
    if (Array.isArray(statements)) set(node, key, statements.map(printingNone));
  }
}

function mendStrip(call: Node): void {
  const { callee, args } = call;
  if (!isNode(callee) || callee.type !== "MemberExpression" || callee["computed"] === true) return;
  const method = callee["property"];
  if (!isNode(method) || !Array.isArray(args) || args.length === 0) return;
  const name = `str.${String(method["value"])}`;
  if (!Object.hasOwn(pythonHelpers, name)) return;
  set(call, "callee", { type: "Identifier", value: name });
  set(call, "args", [callee["object"], ...(args as unknown[])]);
}

/** Only what is cheap to look up twice is looked at. */
function printingNone(statement: unknown): unknown {
  if (!isNode(statement) || (statement.type !== "Identifier" && statement.type !== "MemberExpression")) {
    return statement;
  }
  const isNone = {
    type: "TestExpression",
    operand: statement,
    negate: false,
    test: { type: "Identifier", value: "none" },
  };
  return {
    type: "Ternary",
    condition: isNone,
    trueExpr: { type: "StringLiteral", value: "None" },
    falseExpr: statement,
  };
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

function set(node: Node, key: string, value: unknown): void {
  Reflect.set(node, key, value);
}

function strip(method: "strip" | "lstrip" | "rstrip", text: unknown, chars: unknown): string {
  if (typeof text !== "string") throw new Error(`${method} is called on what is no text`);
  const stripped = typeof chars === "string" ? new Set(chars) : undefined;
  const isStripped = (char: string | undefined) =>
    char !== undefined && (stripped === undefined ? char.trim() === "" : stripped.has(char));
  const all = [...text];
  let start = 0;
  let end = all.length;
  if (method !== "rstrip") while (start < end && isStripped(all[start])) start++;
  if (method !== "lstrip") while (end > start && isStripped(all[end - 1])) end--;
  return all.slice(start, end).join("");
}

/** The date as Python's strftime writes it in the C locale. */
function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const english = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat("en-US", options).format(date);
  const directives: Record<string, () => string> = {
    Y: () => String(date.getFullYear()),
    y: () => two(date.getFullYear() % 100),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    B: () => english({ month: "long" }),
    b: () => english({ month: "short" }),
    A: () => english({ weekday: "long" }),
    a: () => english({ weekday: "short" }),
    H: () => two(date.getHours()),
    I: () => two(date.getHours() % 12 || 12),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    p: () => (date.getHours() < 12 ? "AM" : "PM"),
    "%": () => "%",
  };
  return format.replace(/%(.)/gs, (_, directive: string) => {
    const write = directives[directive];
    if (write === undefined) throw new Error(`strftime_now: %${directive} is not supported`);
    return write();
  });
}
