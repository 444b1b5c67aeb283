import { describe, expect, it } from "vitest";
import { AutoTokenizer, TextStream } from "../../../src/text/index.js";
import { fixture, fixturePath } from "./fixtures.js";

const { texts } = fixture<{ texts: string[] }>("tokenization.json");

describe.each(["byte_level", "byte_fallback"])("text of %s tokens, one by one", async (folder) => {
  const tokenizer = await AutoTokenizer.fromPretrained(fixturePath(folder));

  it.each(texts)("%j", (text) => {
    const ids = tokenizer.encode(text);
    for (const skipSpecialTokens of [true, false]) {
      const stream = new TextStream(tokenizer, { skipSpecialTokens });
      const pieces = ids.map((id) => stream.push(id));
      for (const piece of pieces) expect(piece).not.toMatch(/\ufffd|[\ud800-\udbff]$/);
      expect(pieces.join("") + stream.end()).toBe(tokenizer.decode(ids, { skipSpecialTokens }));
    }
  });
});

describe("what is no text yet", async () => {
  const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
  const bytes = [..."\u00f0\u0141\u013a\u0122"]; // 😀 as a byte-level vocabulary writes F0 9F 98 80
  const ids = bytes.map((char) => tokenizer.tokenToId(char)!);

  it("waits for the last byte of a character", () => {
    const stream = new TextStream(tokenizer);
    expect(ids.map((id) => stream.push(id))).toEqual(["", "", "", "😀"]);
    expect(stream.end()).toBe("");
  });

  it("comes as U+FFFD at the end, and the stream begins anew", () => {
    const stream = new TextStream(tokenizer);
    for (const id of ids.slice(0, 3)) expect(stream.push(id)).toBe("");
    expect(stream.end()).toBe("\ufffd");
    expect(stream.push(tokenizer.tokenToId("a")!)).toBe("a");
  });

  it("keeps the space of a first token after a context", async () => {
    const spaced = await AutoTokenizer.fromPretrained(fixturePath("byte_fallback"));
    const all = spaced.encode("the house", { addSpecialTokens: false });
    const split = all.findIndex((id, index) => index > 0 && spaced.idToToken(id)!.startsWith("▁"));
    const stream = (context: number[]) => {
      const text = new TextStream(spaced, { context });
      return (
        all
          .slice(split)
          .map((id) => text.push(id))
          .join("") + text.end()
      );
    };
    expect(stream([])).toBe("house");
    expect(stream(all.slice(0, split))).toBe(" house");
  });
});
