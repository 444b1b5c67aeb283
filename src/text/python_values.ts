/** @file Values of templates as Python writes and compares them. */

/** A value while a template is rendered. `type` is the name of the library's class. */
export interface TemplateValue {
  readonly type: string;
  readonly value: unknown;
  __bool__(): { readonly value: boolean };
}

export const isUndefined = ({ type }: TemplateValue): boolean => type === "UndefinedValue";

/** The characters of a text, the items of a list, the keys of a map; undefined where Python cannot iterate. */
export function itemsOf(
  value: TemplateValue,
  make: (plain: unknown) => TemplateValue,
): TemplateValue[] | undefined {
  if (isUndefined(value)) return [];
  if (typeof value.value === "string") return Array.from(value.value, make);
  if (Array.isArray(value.value)) return value.value as TemplateValue[];
  if (value.value instanceof Map) return Array.from(value.value.keys(), make);
  return undefined;
}

/** `str(value)`; nothing for what is undefined, as Jinja has it. */
export function pythonStr(value: TemplateValue): string {
  if (isUndefined(value)) return "";
  return typeof value.value === "string" ? value.value : pythonRepr(value);
}

/** `repr(value)` */
export function pythonRepr({ type, value }: TemplateValue): string {
  if (type === "NullValue") return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return type === "FloatValue" ? floatText(value) : String(value);
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) {
    const items = (value as TemplateValue[]).map(pythonRepr);
    if (type !== "TupleValue") return `[${items.join(", ")}]`;
    return items.length === 1 ? `(${items[0]!},)` : `(${items.join(", ")})`;
  }
  if (value instanceof Map) {
    const entries = [...(value as Map<string, TemplateValue>)];
    return `{${entries.map(([key, item]) => `${quoted(key)}: ${pythonRepr(item)}`).join(", ")}}`;
  }
  if (type === "UndefinedValue") return "Undefined";
  throw new Error(`a ${type} cannot be printed`);
}

/** The shortest digits that read back as the number, with an exponent below 1e-4 and from 1e16 on. */
function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const [digits, exponent] = value.toExponential().split("e") as [string, string];
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16)) {
    return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const text =
    Math.abs(value) < 1e-6 && value !== 0
      ? value.toFixed(-power + digits.replace(/\D/g, "").length - 1)
      : String(value);
  return text.includes(".") ? text : `${text}.0`;
}

const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text.replace(/[\\\p{C}\p{Zl}\p{Zp}\p{Zs}]/gu, (char) => {
    if (char === " ") return char;
    const code = char.codePointAt(0)!;
    const hex = (digits: number) => code.toString(16).padStart(digits, "0");
    return (
      escapes[char] ?? (code < 0x100 ? `\\x${hex(2)}` : code < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`)
    );
  });
  return quote + (quote === "'" ? body.replaceAll("'", "\\'") : body) + quote;
}

/** `left == right` */
export function pythonEquals(left: TemplateValue, right: TemplateValue): boolean {
  const [a, b] = [left.value, right.value];
  if (isUndefined(left) || isUndefined(right)) return left.type === right.type;
  const isNumber = (value: unknown) => typeof value === "number" || typeof value === "boolean";
  if (isNumber(a) && isNumber(b)) return Number(a) === Number(b);
  if (Array.isArray(a) && Array.isArray(b)) {
    if (a.length !== b.length || (left.type === "TupleValue") !== (right.type === "TupleValue")) return false;
    return a.every((item: TemplateValue, i) => pythonEquals(item, b[i] as TemplateValue));
  }
  if (a instanceof Map && b instanceof Map) {
    const other = b as Map<string, TemplateValue>;
    const entries = [...(a as Map<string, TemplateValue>)];
    if (entries.length !== other.size) return false;
    return entries.every(([key, item]) => other.has(key) && pythonEquals(item, other.get(key)!));
  }
  return left.type === right.type && a === b;
}

/** `left in right` @throws where Python does. */
export function pythonContains(right: TemplateValue, left: TemplateValue): boolean {
  const { value } = right;
  if (isUndefined(right)) return false;
  if (Array.isArray(value)) return value.some((item: TemplateValue) => pythonEquals(item, left));
  if (value instanceof Map) return typeof left.value === "string" && value.has(left.value);
  if (typeof value !== "string")
    throw new Error(`what is no text, list or map (${pythonStr(right)}) holds nothing`);
  if (typeof left.value === "string") return value.includes(left.value);
  throw new Error(`a text holds texts only, not ${pythonRepr(left)}`);
}

/** `left < right` is negative, `left > right` positive. @throws where Python cannot order them. */
export function pythonCompare(left: TemplateValue, right: TemplateValue): number {
  const [a, b] = [left.value, right.value];
  if (typeof a === "string" && typeof b === "string") {
    const [x, y] = [Array.from(a, codePoint), Array.from(b, codePoint)];
    const at = x.findIndex((code, i) => code !== y[i]);
    return at < 0 ? x.length - y.length : at >= y.length ? 1 : x[at]! - y[at]!;
  }
  const isNumber = (value: unknown) => typeof value === "number" || typeof value === "boolean";
  if (isNumber(a) && isNumber(b)) return Number(a) - Number(b);
  throw new Error(`${pythonRepr(left)} and ${pythonRepr(right)} have no order`);
}

const codePoint = (char: string): number => char.codePointAt(0)!;
