/** @file Typed access to the fields of a JSON object that a user or another program wrote. */
import { readFileSync } from "node:fs";
import { CraftError } from "../errors.js";
import { fileError } from "./atomic_file.js";
import {
  isJsonObject,
  JsonNumber,
  parsePythonJson,
  plainJson,
  type JsonObject,
  type JsonValue,
} from "./python_json.js";

interface Range {
  readonly min?: number;
  readonly max?: number;
  /** Whether `min` itself is excluded. */
  readonly above?: number;
}

/**
 * Fields of an object in a JSON file. A field that is null counts as absent, as in transformers; each error names the
 * file and the field.
 */
export class JsonFields {
  readonly json: JsonObject;
  readonly file: string;
  readonly #prefix: string;

  constructor(json: JsonObject, file: string, prefix = "") {
    this.json = json;
    this.file = file;
    this.#prefix = prefix;
  }

  has(key: string): boolean {
    return this.#raw(key) !== undefined;
  }

  /** The names of the fields that are not null. */
  keys(): string[] {
    return Object.keys(this.json).filter((key) => this.has(key));
  }

  number(key: string, fallback: number, range: Range = {}): number {
    return this.optionalNumber(key, range) ?? fallback;
  }

  optionalNumber(key: string, range: Range = {}): number | undefined {
    const value = this.#number(key);
    if (value === undefined) return undefined;
    if (!Number.isFinite(value)) throw this.error(key, "must be a finite number");
    this.#inRange(key, value, range);
    return value;
  }

  integer(key: string, fallback: number, range: Range = {}): number {
    return this.optionalInteger(key, range) ?? fallback;
  }

  optionalInteger(key: string, range: Range = {}): number | undefined {
    const value = this.#number(key);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value)) throw this.error(key, "must be an integer");
    this.#inRange(key, value, range);
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#raw(key);
    if (value === undefined) return fallback;
    if (typeof value !== "boolean") throw this.error(key, "must be true or false");
    return value;
  }

  optionalString(key: string): string | undefined {
    const value = this.#raw(key);
    if (value !== undefined && typeof value !== "string") throw this.error(key, "must be a text");
    return value;
  }

  object(key: string): JsonFields | undefined {
    const value = this.#raw(key);
    if (value === undefined) return undefined;
    if (!isJsonObject(value)) throw this.error(key, "must be an object");
    return new JsonFields(value, this.file, `${this.#prefix}${key}.`);
  }

  /** A list of numbers; empty where the field is absent. */
  numbers(key: string, range: Range = {}): number[] {
    return this.#list(key, "must be a list of numbers").map((item) => {
      const number = item instanceof JsonNumber ? item.value : item;
      if (typeof number !== "number" || !Number.isFinite(number))
        throw this.error(key, "must be a list of finite numbers");
      this.#inRange(key, number, range);
      return number;
    });
  }

  /** A list of texts; undefined where the field is absent. */
  optionalStrings(key: string): string[] | undefined {
    if (!this.has(key)) return undefined;
    return this.#list(key, "must be a list of texts").map((item) => {
      if (typeof item !== "string") throw this.error(key, "must be a list of texts");
      return item;
    });
  }

  /** An integer or a list of integers, as a list. */
  integers(key: string, range: Range = {}): number[] {
    const value = this.#raw(key);
    if (value === undefined) return [];
    const list: readonly JsonValue[] = Array.isArray(value) ? (value as readonly JsonValue[]) : [value];
    return list.map((item) => {
      const number = item instanceof JsonNumber ? item.value : item;
      if (typeof number !== "number" || !Number.isSafeInteger(number))
        throw this.error(key, "must be an integer or a list of integers");
      this.#inRange(key, number, range);
      return number;
    });
  }

  /** Refuses a field unless it is absent or has one of the values that mean nothing special. */
  refuseUnless(key: string, neutral: readonly unknown[], reason: string, remedy?: string): void {
    const value = this.#raw(key);
    if (value === undefined) return;
    const text = JSON.stringify(plainJson(value));
    if (!neutral.some((item) => JSON.stringify(item) === text)) throw this.error(key, reason, remedy);
  }

  error(key: string, reason: string, remedy?: string): CraftError {
    const value = this.#raw(key);
    return new CraftError({
      subject: `${this.file}, ${this.#prefix}${key}`,
      ...(value === undefined ? {} : { value: plainJson(value) }),
      reason,
      ...(remedy === undefined ? {} : { remedy }),
    });
  }

  #raw(key: string): Exclude<JsonValue, null> | undefined {
    return Object.hasOwn(this.json, key) ? (this.json[key] ?? undefined) : undefined;
  }

  #list(key: string, otherwise: string): readonly JsonValue[] {
    const value = this.#raw(key);
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw this.error(key, otherwise);
    return value as readonly JsonValue[];
  }

  #number(key: string): number | undefined {
    const value = this.#raw(key);
    if (value === undefined) return undefined;
    if (value instanceof JsonNumber) return value.value;
    if (typeof value !== "number") throw this.error(key, "must be a number");
    return value;
  }

  #inRange(key: string, value: number, { min, max, above }: Range): void {
    if (min !== undefined && value < min) throw this.error(key, `must be at least ${min}`);
    if (above !== undefined && value <= above) throw this.error(key, `must be greater than ${above}`);
    if (max !== undefined && value > max) throw this.error(key, `must be at most ${max}`);
  }
}

/** Reads a file that holds a JSON object. */
export function readJsonObject(file: string): JsonObject {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw fileError(file, "read", error);
  }
  const value = parsePythonJson(text.replace(/^\ufeff/, ""), file);
  if (!isJsonObject(value)) throw new CraftError({ subject: file, reason: "must hold a JSON object" });
  return value;
}
