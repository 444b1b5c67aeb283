/** @file The values that a template computes with, and how Python prints, compares and iterates over them. */

/** A fault in a template or in what it was given; `line` counts from 1 in the template. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

/** A Python float, kept apart from integers because `4 / 2` prints as `2.0`. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export class Tuple extends Array<Value> {}

export type Dict = Map<Value, Value>;

/** What `namespace()` makes: the only thing whose attributes a template may assign. */
export class Namespace {
  readonly attributes: Map<string, Value>;
  constructor(attributes: Map<string, Value>) {
    this.attributes = attributes;
  }
}

/** A generator such as `select` gives: true even when empty, without a length, but it can be iterated. */
export class Lazy {
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    this.items = items;
  }
}

export type Arguments = readonly Value[];
export type Keywords = ReadonlyMap<string, Value>;

export class Callable {
  readonly call: (args: Arguments, keywords: Keywords) => Value;
  constructor(call: (args: Arguments, keywords: Keywords) => Value) {
    this.call = call;
  }
}

/** A name or attribute that is not there: prints as nothing, and complains with `reason` when used. */
export class Undefined {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

/** The variable `loop`: attributes, and callable in a recursive loop. */
export class LoopState extends Namespace {
  readonly recurse: Callable | undefined;
  constructor(attributes: Map<string, Value>, recurse: Callable | undefined) {
    super(attributes);
    this.recurse = recurse;
  }
}

export type Value =
  null | boolean | number | string | Float | Value[] | Dict | Namespace | Lazy | Callable | Undefined;

/** Python's own name of a value's type, for messages. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return "int";
  if (typeof value === "string") return "str";
  if (value instanceof Float) return "float";
  if (value instanceof Tuple) return "tuple";
  if (Array.isArray(value)) return "list";
  if (value instanceof Map) return "dict";
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Lazy) return "generator";
  if (value instanceof Callable) return "function";
  return "Namespace";
}

/** JSON-like data to template values. Properties that are `undefined` count as absent. */
export function toValue(input: unknown, where: string): Value {
  if (input === null || typeof input === "boolean" || typeof input === "string") return input;
  if (typeof input === "number") return Number.isInteger(input) ? input : new Float(input);
  if (typeof input === "bigint") return Number(input);
  if (Array.isArray(input)) return input.map((item, i) => toValue(item, `${where}[${i}]`));
  if (typeof input === "object" && !ArrayBuffer.isView(input)) {
    const dict: Dict = new Map();
    for (const [key, item] of Object.entries(input)) {
      if (item !== undefined) dict.set(key, toValue(item, `${where}.${key}`));
    }
    return dict;
  }
  throw new TemplateError(`${where} is a ${typeof input}, and templates take only JSON-like data`);
}

/** What was found, None included, or an undefined value that says why there is nothing. */
export function foundOr(found: Value | undefined, reason: () => string): Value {
  return found === undefined ? new Undefined(reason()) : found;
}

export function isTrue(value: Value): boolean {
  if (value === null || value === false || value === 0 || value === "") return false;
  if (value instanceof Float) return value.value !== 0;
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  return !(value instanceof Undefined);
}

/** The number that a value stands for in arithmetic, where `True` is 1; undefined where it is none. */
export function asNumber(value: Value): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  return value instanceof Float ? value.value : undefined;
}

export function equals(a: Value, b: Value): boolean {
  const x = asNumber(a);
  const y = asNumber(b);
  if (x !== undefined || y !== undefined) return x === y;
  if (Array.isArray(a) && Array.isArray(b)) {
    if (a instanceof Tuple !== b instanceof Tuple || a.length !== b.length) return false;
    return a.every((item, i) => equals(item, b[i] ?? null));
  }
  if (a instanceof Map && b instanceof Map) {
    if (a.size !== b.size) return false;
    for (const [key, item] of a) {
      const other = b.get(key);
      if (other === undefined || !equals(item, other)) return false;
    }
    return true;
  }
  if (a instanceof Undefined && b instanceof Undefined) return true;
  return a === b;
}

/** The items of whatever can be iterated: characters of strings, keys of dicts, nothing of what is undefined. */
export function iterate(value: Value): readonly Value[] {
  if (Array.isArray(value)) return value;
  if (typeof value === "string") return Array.from(value);
  if (value instanceof Map) return [...value.keys()];
  if (value instanceof Lazy) return value.items;
  if (value instanceof Undefined) return [];
  throw new TemplateError(`'${typeName(value)}' object is not iterable`);
}

export function lengthOf(value: Value): number {
  if (typeof value === "string") return codePointCount(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  if (value instanceof Undefined) return 0;
  throw new TemplateError(`object of type '${typeName(value)}' has no len()`);
}

function codePointCount(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** What `{{ value }}` prints: Python's `str()`. */
export function str(value: Value): string {
  if (typeof value === "string") return value;
  return value instanceof Undefined ? "" : repr(value);
}

/** Python's `repr()`. */
export function repr(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return integerText(value);
  if (typeof value === "string") return quote(value);
  if (value instanceof Float) return floatText(value.value);
  if (value instanceof Tuple) {
    return `(${Array.from(value, repr).join(", ")}${value.length === 1 ? "," : ""})`;
  }
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (value instanceof Map) return `{${[...value].map(([k, v]) => `${repr(k)}: ${repr(v)}`).join(", ")}}`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Namespace) return `<Namespace ${repr(new Map(value.attributes))}>`;
  return `<${typeName(value)} object>`;
}

function integerText(value: number): string {
  return Number.isSafeInteger(value) ? String(value) : BigInt(value).toString();
}

/** Python writes an exponent below 1e-4 and from 1e16 on, with at least two digits. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits, exponent] = value.toExponential().split("e");
    const power = Number(exponent);
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

const escapes = new Map([
  ["\\", "\\\\"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text.replace(/[\\'"\p{C}\p{Zl}\p{Zp}\p{Zs}]/gu, (char) => {
    if (char === " ") return char;
    if (char === "'" || char === '"') return char === mark ? `\\${char}` : char;
    return escapes.get(char) ?? escapeCode(char.codePointAt(0) ?? 0);
  });
  return mark + body + mark;
}

function escapeCode(code: number): string {
  if (code < 0x100) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

export function hex(code: number, width: number): string {
  return code.toString(16).padStart(width, "0");
}
