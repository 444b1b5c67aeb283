/** @file Templates that fail, go on forever or write without end. */
import { describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import { renderTemplate } from "../../../src/text/chat_template.js";

const render = (source: string, variables: Record<string, unknown> = {}): string =>
  renderTemplate({ name: "bad.jinja", source }, variables).text;

describe("a template is stopped", () => {
  it.each([
    [
      "that loops for too long",
      "{% for a in range(90000) %}{% for b in range(90000) %}{% set c = a %}{% endfor %}{% endfor %}",
      /takes more than 4000000 steps/,
    ],
    [
      "that calls itself without end",
      "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
      /calls itself without end/,
    ],
    [
      "that doubles a text",
      "{% set n = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}",
      /a text grows beyond 67108864 characters/,
    ],
    ["that repeats a text", "{{ 'ab' * 999999999 }}", /a text grows beyond/],
    [
      "that doubles a list",
      "{% set n = namespace(s=[1, 2]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
      /a list grows beyond 1000000 items/,
    ],
    [
      "that works on a long text again and again",
      "{% set x = 'ab' * 30000000 %}{% for i in range(90000) %}{% set y = x|trim %}{% endfor %}",
      /takes more than 4000000 steps/,
    ],
    ["that asks for a huge range", "{{ range(999999999)|length }}", /range\(\) gives 999999999 numbers/],
    [
      "that raises",
      "{{ raise_exception('Only user turns, please') }}",
      /the template fails: Only user turns, please/,
    ],
    ["that breaks outside of a loop", "{% break %}", /stands outside of a loop/],
    ["that is no template", "{% if %}", /the template fails/],
    ["that reads from what is not there", "{{ nothing.at.all }}", /nothing is undefined/],
  ])("%s", (_name, source, message) => {
    const call = () => render(source);
    expect(call).toThrow(CraftError);
    expect(call).toThrow(/^bad\.jinja: the template fails: /);
    expect(call).toThrow(message);
  });
});

describe("what real conversations need is not", () => {
  it("a long conversation with long texts", () => {
    const messages = Array.from({ length: 2000 }, (_, i) => ({
      role: "user",
      content: `${i} `.repeat(2000),
    }));
    const source = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}";
    expect(render(source, { messages }).length).toBeGreaterThan(15_000_000);
  });
});

describe("JSON is written as Python writes it", () => {
  const x = { "b é": [1, 2.5, null, true], a: { k: "<\"'\n😀>" }, e: [], o: {} };
  it.each([
    ["{{ x | tojson }}", `{"b é": [1, 2.5, null, true], "a": {"k": "<\\"'\\n😀>"}, "e": [], "o": {}}`],
    [
      "{{ x | tojson(indent=2) }}",
      `{\n  "b é": [\n    1,\n    2.5,\n    null,\n    true\n  ],\n  "a": {\n    "k": "<\\"'\\n😀>"\n  },\n  "e": [],\n  "o": {}\n}`,
    ],
  ])("%s", (source, text) => expect(render(source, { x })).toBe(text));
});
