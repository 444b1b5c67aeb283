import { describe, expect, it } from "vitest";
import {
  loadCompilerMessages,
  parseTargetLanguage,
  targetLanguages,
} from "../../../src/cli/demo/messages.js";

const { messages, untranslated, version } = loadCompilerMessages();
const text = (code: number) => messages.find((message) => message.code === code)!.text;
const placeholders = (given: string) => [...new Set(given.match(/\{\d\}/g) ?? [])].sort();

describe("loadCompilerMessages", () => {
  it("reads every message that has all thirteen translations, and names the others", () => {
    expect(version).toBe("5.9.3");
    expect(messages).toHaveLength(2118);
    expect(untranslated).toEqual([1286, 1293, 1295]);
    expect(new Set(messages.map(({ code }) => code)).size).toBe(2118);
  });

  it("pairs each message with its own translation", () => {
    expect(text(1002).en).toBe("Unterminated string literal.");
    expect(text(1002).es).toBe("Literal de cadena sin terminar.");
    expect(text(2304).en).toBe("Cannot find name '{0}'.");
    expect(text(2304).fr).toBe("Le nom '{0}' est introuvable.");
    expect(text(2304)["zh-cn"]).toBe("找不到名称'{0}'。");
  });

  it("keeps every placeholder in every language", () => {
    const lost = messages.flatMap(({ code, text }) => {
      const wanted = placeholders(text.en).join();
      return targetLanguages
        .filter((to) => placeholders(text[to]).join() !== wanted)
        .map((to) => `${code} ${to}`);
    });
    expect(lost).toEqual([]);
  });

  it("leaves one space between words", () => {
    const untidy = messages.flatMap(({ text }) =>
      Object.values(text).filter((given) => !/^\S+( \S+)*$/u.test(given)),
    );
    expect(untidy).toEqual([]);
  });

  it("gives repeated code the quotes of the English message, and leaves apostrophes alone", () => {
    // In the package: "with" in Spanish, « use strict » and L’ in French, „{0}” in Polish.
    expect(text(1101).es).toBe("No se permiten instrucciones 'with' en modo strict.");
    expect(text(2304).pl).toContain("'{0}'");
    const kept = messages.filter(({ text }) => text.en.includes("'{0}'") && text.es.includes("'{0}'"));
    expect(kept.length).toBeGreaterThan(700);
    const others = kept.flatMap(({ text }) =>
      targetLanguages.filter((to) => /[“”„«»‘’"「] ?\{0\}/u.test(text[to])),
    );
    expect(others.sort()).toEqual(["pl", "zh-cn"]); // where the quoted piece is not the English one
    expect(messages.filter(({ text }) => /\bl['’]\p{L}/u.test(text.fr)).length).toBeGreaterThan(100);
  });
});

describe("parseTargetLanguage", () => {
  it("takes the languages of the package, in any case", () => {
    expect(parseTargetLanguage("es")).toBe("es");
    expect(parseTargetLanguage("PT-BR")).toBe("pt-br");
  });
  it("refuses others and names those it takes", () => {
    expect(() => parseTargetLanguage("nl")).toThrow(/--to = nl: .*cs, de, es, .*zh-tw/);
    expect(() => parseTargetLanguage("en")).toThrow(/--to = en/);
  });
});
