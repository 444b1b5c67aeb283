import { describe, expect, it } from "vitest";
import { Template } from "../../../src/text/jinja/template.js";
import { TemplateError } from "../../../src/text/jinja/values.js";
import { fixture } from "./fixtures.js";

interface Case {
  readonly template: string;
  readonly variables: Record<string, unknown>;
  readonly output?: string;
  readonly error?: string;
}

const { cases } = fixture<{ cases: readonly Case[] }>("jinja.json");
const rendered = cases.filter((one) => one.output !== undefined);
const refused = cases.filter((one) => one.error !== undefined);

describe("templates render as Jinja renders them in transformers", () => {
  it.each(rendered.map((one) => [one.template.slice(0, 90), one] as const))("%s", (_title, one) => {
    expect(new Template(one.template).render(one.variables)).toBe(one.output);
  });

  it("has cases of both kinds", () => {
    expect(rendered.length).toBeGreaterThan(70);
    expect(refused.length).toBeGreaterThan(20);
  });
});

describe("templates that Jinja refuses", () => {
  it.each(refused.map((one) => [one.template.slice(0, 90), one] as const))("%s", (_title, one) => {
    expect(() => new Template(one.template).render(one.variables)).toThrow(TemplateError);
  });

  it("gives run-time faults the message of the reference", () => {
    const same = refused.filter((one) => !one.error?.includes("Syntax"));
    for (const one of same) {
      const message = (one.error ?? "").replace(/^\w+: /, "").replace(/\.$/, "");
      expect(() => new Template(one.template).render(one.variables), one.template).toThrow(message);
    }
    expect(same.length).toBeGreaterThan(15);
  });

  it("tells the line", () => {
    const template = new Template("first\n{% if true %}\n  {{ 'a' + 1 }}\n{% endif %}");
    try {
      template.render({});
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ name: "TemplateError", line: 3 });
    }
    expect(() => new Template("a\n{% for x in y %}\nb")).toThrow(/'for' needs 'endfor' or 'else'/);
  });
});

describe("strftime_now", () => {
  const render = (format: string, date: Date) => {
    return new Template("{{ strftime_now(format) }}").render({ format }, { now: () => date });
  };

  // Expected values from Python's datetime(2024, 2, 9, 15, 4, 5).strftime in the C locale.
  it.each([
    ["%d %b %Y", "09 Feb 2024"],
    ["%A, %B %-d, %Y", "Friday, February 9, 2024"],
    ["%Y-%m-%dT%H:%M:%S", "2024-02-09T15:04:05"],
    ["%I:%M %p %a %j %y %% %F", "03:04 PM Fri 040 24 % 2024-02-09"],
  ])("%s", (format, expected) => {
    expect(render(format, new Date(2024, 1, 9, 15, 4, 5))).toBe(expected);
  });

  it("refuses what it does not know", () => {
    expect(() => render("%Q", new Date())).toThrow("strftime_now does not know '%Q'");
  });
});

it("takes only JSON-like variables", () => {
  expect(() => new Template("{{ f }}").render({ f: () => 1 })).toThrow("f is a function");
  expect(new Template("{{ a is defined }}").render({ a: undefined })).toBe("False");
});
