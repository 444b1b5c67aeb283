import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  jsonFloat,
  JsonNumber,
  parsePythonJson,
  plainJson,
  stringifyPythonJson,
} from "../../../src/models/python_json.js";

interface Fixture {
  readonly floats: readonly { readonly value: string; readonly text: string }[];
  readonly document: string;
}
const path = join(import.meta.dirname, "../../fixtures/models/python_json.json");
const fixture = JSON.parse(readFileSync(path, "utf8")) as Fixture;

describe("JSON of Python", () => {
  it("spells floats as Python does", () => {
    expect(fixture.floats.length).toBeGreaterThan(200);
    for (const { value, text } of fixture.floats)
      expect(stringifyPythonJson(jsonFloat(Number(value)))).toBe(text);
  });

  it("writes a document of Python's back byte for byte", () => {
    expect(stringifyPythonJson(parsePythonJson(fixture.document, "x.json"))).toBe(fixture.document);
  });

  it("gives plain numbers on request", () => {
    const value = parsePythonJson(
      '{"a": [1.0, 1e5, -2, NaN], "b": {"c": -Infinity}, "1.0": "2.0"}',
      "x.json",
    );
    expect(plainJson(value)).toEqual({ a: [1, 100_000, -2, NaN], b: { c: -Infinity }, "1.0": "2.0" });
    expect(value).toHaveProperty("a.0", new JsonNumber("1.0"));
  });

  it("keeps the spelling of each number", () => {
    const text = "[\n  1.50,\n  0.00001,\n  1e-05,\n  1E5,\n  -0,\n  12345678901234567890\n]";
    expect(stringifyPythonJson(parsePythonJson(text, "x.json"))).toBe(text);
  });

  it.each([
    "",
    "{",
    "[1.]",
    "[.5]",
    "[01.0]",
    "[1.0.0]",
    "[1e]",
    "[1-2]",
    "{'a': 1}",
    "[1.0,]",
    '{"a": nan}',
  ])("refuses %j", (text) => {
    expect(() => parsePythonJson(text, "some/config.json")).toThrow(
      /^some\/config\.json: is not valid JSON \(.*\)\. Download or write the file again\.$/,
    );
  });
});
