import { describe, expect, it, vi } from "vitest";
import { renderTemplate } from "../../../src/text/chat_template.js";
import { fixture } from "./fixtures.js";

interface JinjaCase {
  template: string;
  variables: Record<string, unknown>;
  output?: string;
  error?: string;
}
const { cases } = fixture<{ cases: JinjaCase[] }>("jinja.json");

function render(source: string, variables: Record<string, unknown> = {}): { text?: string; error?: string } {
  try {
    return { text: renderTemplate({ name: "test", source }, variables).text };
  } catch (error) {
    return { error: String(error) };
  }
}

describe("known differences of the packages", () => {
  it("Jinja that is not rendered as Python does: this list and nothing else", () => {
    const differences = cases.flatMap(({ template, variables, output, error }) => {
      const ours = render(template, variables);
      if (ours.text === output) return [];
      return [{ template, python: output ?? error, package: ours.text ?? ours.error }];
    });
    expect(differences).toMatchSnapshot();
  });
});

describe("mended templates", () => {
  it("strip the characters that are given", () => {
    const source =
      "[{{ x.lstrip('\\n') }}][{{ x.rstrip(' \\n') }}][{{ x.strip('\\n') }}][{{ 'xxaxbx'.strip('x') }}]";
    expect(render(source, { x: "\n  a \n" }).text).toBe("[  a \n][\n  a][  a ][axb]");
    expect(render("{{ x.lstrip('a') }}", { x: 1 }).error).toContain("lstrip");
  });

  it("print None for none, and nothing for what is undefined", () => {
    const source =
      "{{ x }}{{ y.z }}{{ nothing }}{% if x %}{% else %}{{ x }}{% endif %}{% for v in y.w %}{{ v }}{% endfor %}";
    expect(render(source, { x: null, y: { z: null, w: [1, null] } }).text).toBe("NoneNoneNone1None");
  });

  it("keep what an iteration wrote before it was left, and its variables inside", () => {
    const source =
      "{% for x in [1, 2, 3, 4] %}{{ x }}{% if x == 2 %}(skip){% continue %}{% endif %}{% if x == 3 %}(stop){% break %}{% endif %}.{% endfor %}";
    expect(render(source).text).toBe("1.2(skip)3(stop)");
    expect(
      render("{% set x = 0 %}{% for i in [1, 2] %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}").text,
    ).toBe("01020");
  });

  it("print and compare lists, maps and numbers as Python does", () => {
    const x = [1, "a'b", 'q"q', null, true, { k: [1.5, "\n\u200b"] }];
    expect(render("{{ x }}{{ x | length }}{{ '😀a'[0] }}", { x }).text).toBe(
      `[1, "a'b", 'q"q', None, True, {'k': [1.5, '\\n\\u200b']}]6😀`,
    );
    expect(render("{{ 0.00001 }} {{ 1.0 }} {{ 2 / 2 }} {{ 123456789.0 * 1000000000.0 }}").text).toBe(
      "1e-05 1.0 1.0 1.23456789e+17",
    );
    expect(render("{{ '' == false }}{{ 1 == true }}{{ [1, [2]] == [1, [2]] }}{{ -7 % 3 }}").text).toBe(
      "FalseTrueTrue2",
    );
    expect(render("{{ 'a' + [1] }}").error).toContain("only texts can be added to a text");
  });

  it("write dates in English, as Python's C locale", () => {
    vi.useFakeTimers({ now: new Date(2024, 6, 5, 15, 4, 9) });
    try {
      expect(
        render("{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%A %B %y %H:%M:%S %I %p %m %a %%') }}").text,
      ).toBe("05 Jul 2024|Friday July 24 15:04:09 03 PM 07 Fri %");
      expect(render("{{ strftime_now('%Q') }}").error).toContain("%Q");
    } finally {
      vi.useRealTimers();
    }
  });
});
