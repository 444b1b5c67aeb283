/**
 * @file JSON as Python's json module reads and writes it, keeping how each number was spelt. transformers 5 checks
 * the types of config fields, and refuses `1` where it wants a float: a value that was `1.0` must stay `1.0`.
 */
import { CraftError } from "../errors.js";

export type JsonValue = null | boolean | number | string | JsonNumber | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** A number whose spelling would change if JavaScript wrote it: `10000.0`, `1E5`, `NaN`, integers above 2^53. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  get value(): number {
    return Number(this.text);
  }
}

/** A value of a field that Python declares as float. */
export function jsonFloat(value: number): number | JsonNumber {
  const text = floatText(value);
  return text === numberText(value) ? value : new JsonNumber(text);
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber)
  );
}

/** The value with plain numbers: what JSON.parse would have given. */
export function plainJson(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return value.value;
  if (isJsonObject(value))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainJson(item)]));
  return Array.isArray(value) ? value.map((item: JsonValue) => plainJson(item)) : value;
}

const token = /"(?:[^"\\]|\\.)*"|-?(?:\d[\d.eE+-]*|Infinity)|NaN/g;
const mark = "\u0000number";

/**
 * Parses JSON, and NaN and Infinity as Python writes them.
 *
 * @param file where the text comes from, for the message
 * @throws {@link CraftError} if it is not JSON.
 */
export function parsePythonJson(text: string, file: string): JsonValue {
  const marked = text.replace(token, (found) =>
    found.startsWith('"') || isPlain(found) ? found : `{"\\u0000number":"${found}"}`,
  );
  try {
    return JSON.parse(marked, (_, value: JsonValue) => {
      const spelt = isJsonObject(value) ? value[mark] : undefined;
      return typeof spelt === "string" ? new JsonNumber(checked(spelt)) : value;
    }) as JsonValue;
  } catch (error) {
    throw new CraftError({
      subject: file,
      reason: `is not valid JSON (${error instanceof Error ? error.message : String(error)})`,
      remedy: "Download or write the file again",
      cause: error,
    });
  }
}

const isPlain = (text: string): boolean => Number.isFinite(Number(text)) && numberText(Number(text)) === text;

const numeral = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|-?Infinity|NaN)$/;

function checked(text: string): string {
  if (!numeral.test(text)) throw new SyntaxError(`${text} is not a number`);
  return text;
}

/** As `json.dumps(value, indent=2, sort_keys=True)`: two spaces, keys in order, all but ASCII escaped. */
export const stringifyPythonJson = (value: JsonValue): string => write(value, "");

function write(value: JsonValue, indent: string): string {
  if (typeof value === "string") return ascii(value);
  if (typeof value === "number") return numberText(value);
  if (value instanceof JsonNumber) return value.text;
  const inner = `${indent}  `;
  if (isJsonObject(value)) {
    const items = Object.keys(value)
      .sort(byCodePoint)
      .map((key) => `${inner}${ascii(key)}: ${write(value[key]!, inner)}`);
    return items.length === 0 ? "{}" : `{\n${items.join(",\n")}\n${indent}}`;
  }
  if (Array.isArray(value)) {
    const items = value.map((item: JsonValue) => inner + write(item, inner));
    return items.length === 0 ? "[]" : `[\n${items.join(",\n")}\n${indent}]`;
  }
  return JSON.stringify(value);
}

const ascii = (text: string): string =>
  JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** Python compares strings by code point, JavaScript by UTF-16 unit. UTF-8 bytes order as code points do. */
export const byCodePoint = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

const numberText = (value: number): string =>
  Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : floatText(value);

/** As repr(float): the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16 on. */
function floatText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-4 && size < 1e16))
    return Number.isInteger(value) ? `${value}.0` : String(value);
  const [digits, exponent] = value.toExponential().split("e");
  return `${digits}e${exponent!.startsWith("-") ? "-" : "+"}${exponent!.slice(1).padStart(2, "0")}`;
}
