import { describe, expect, it } from "vitest";
import { AutoTokenizer, TextStream } from "../../../src/text/index.js";
import { fixture, fixturePath } from "./fixtures.js";

const { texts } = fixture<{ texts: readonly string[] }>("tokenization.json");

describe.each(["byte_level", "byte_fallback"])("TextStream over %s", (folder) => {
  it("gives the text of decode, in whole characters", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath(folder));
    for (const text of texts) {
      for (const skipSpecialTokens of [true, false]) {
        const ids = tokenizer.encode(text);
        const stream = new TextStream(tokenizer, { skipSpecialTokens });
        const pieces = ids.map((id) => stream.push(id));
        for (const piece of pieces) {
          expect(piece, JSON.stringify(piece)).not.toMatch(/\p{Surrogate}/u);
          if (!text.includes("\ufffd")) expect(piece).not.toContain("\ufffd");
        }
        expect([...pieces, stream.end()].join("")).toBe(tokenizer.decode(ids, { skipSpecialTokens }));
      }
    }
  });

  it("holds bytes back until their character is complete", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath(folder));
    const ids = tokenizer.encode("x😀y", { addSpecialTokens: false });
    const stream = new TextStream(tokenizer);
    expect(ids.map((id) => stream.push(id)).filter((piece) => piece !== "")).toEqual(["x", "😀", "y"]);
    expect(stream.end()).toBe("");
  });

  it("gives out at the end what never became a character", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath(folder));
    const ids = tokenizer.encode("a😀", { addSpecialTokens: false }).slice(0, -2);
    const stream = new TextStream(tokenizer);
    expect(ids.map((id) => stream.push(id)).join("")).toBe("a");
    expect(`a${stream.end()}`).toBe(tokenizer.decode(ids));
    expect(stream.end()).toBe("");
  });
});
