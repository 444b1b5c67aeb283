import { describe, expect, it } from "vitest";
import {
  loseLiteral,
  nearestOthers,
  preferencesOf,
  swapLiterals,
} from "../../../src/cli/demo/after_sft/preferences.js";
import { targetLanguages, type CompilerMessage } from "../../../src/cli/demo/messages.js";
import { taggedFormat } from "../../../src/cli/demo/task.js";

const message = (code: number, en: string, es: string): CompilerMessage => {
  const text = Object.fromEntries(["en", ...targetLanguages].map((language) => [language, es]));
  return { code, text: { ...text, en } as CompilerMessage["text"] };
};

describe("swapLiterals", () => {
  it.each([
    ["De '{0}' a '{1}'.", "De '{1}' a '{0}'."],
    ["'{0}' y '{0}' con 'async'.", undefined],
    ["'{0}' sin 'async' ni {1}.", "'{1}' sin 'async' ni {0}."],
    ["Use 'import' con 'type' o 'type'.", "Use 'type' con 'import' o 'type'."],
    ["Solo '{0}' y '{0}'.", undefined],
    ["Nada.", undefined],
  ])("of %j is %j", (text, expected) => {
    expect(swapLiterals(text)).toBe(expected);
  });
});

describe("loseLiteral", () => {
  it.each([
    ["No se encuentra {0} en {1}.", "No se encuentra {0} en ."],
    ["Use 'export' aquí.", "Use aquí."],
    ["Nada.", undefined],
  ])("of %j is %j", (text, expected) => {
    expect(loseLiteral(text)).toBe(expected);
  });
});

const messages = [
  message(1, "Cannot find module '{0}'.", "No se encuentra el módulo '{0}'."),
  message(2, "Cannot find name '{0}' of '{1}'.", "No se encuentra el nombre '{0}' de '{1}'."),
  message(3, "Unreachable code detected.", "Se ha detectado código inaccesible."),
  message(4, "Unused code detected.", "Se ha detectado código sin usar."),
];

describe("nearestOthers", () => {
  it("are those that share most of their words, and say another thing", () => {
    expect(nearestOthers(messages, "es")).toEqual([1, 0, 3, 2]);
    const twins = [messages[0]!, message(5, "Cannot find module '{0}'.", messages[0]!.text.es), messages[3]!];
    expect(nearestOthers(twins, "es")[0]).toBe(2);
  });
});

describe("preferencesOf", () => {
  it("prefers the professional translation to a spoilt one and to another message's", () => {
    const rows = preferencesOf(messages, { format: taggedFormat("es"), to: "es" });
    const texts = rows.map(({ prompt, chosen, rejected }) => [
      prompt.slice("<|en|>".length, -"<|es|>".length),
      ...[chosen, rejected].map((text) => text.replace("<|endoftext|>", "")),
    ]);
    const [first, second, third, fourth] = messages.map(({ text }) => [text.en, text.es] as const);
    expect(texts).toEqual([
      [...first!, "No se encuentra el módulo ''."],
      [...first!, second![1]],
      [...second!, "No se encuentra el nombre '{1}' de '{0}'."],
      [...second!, first![1]],
      [...third!, fourth![1]],
      [...fourth!, third![1]],
    ]);
    expect(rows.every(({ rejected }) => rejected.endsWith("<|endoftext|>"))).toBe(true);
  });
});
