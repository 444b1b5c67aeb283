/** @file Text as it is made: all of it, whole characters, nothing of a stop string. */
import { afterAll, describe, expect, it } from "vitest";
import { streamText, TokenGenerator, type StreamTextOptions } from "../../../src/generation/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { expected, loadModel } from "./fixture.js";

const model = await loadModel();
const generator = new TokenGenerator(model);
afterAll(() => generator.dispose());

const row = expected.greedy[1]!.slice(0, 20);
const letters = {
  decode: (ids: readonly number[]) => ids.map((id) => String.fromCharCode(97 + id)).join(""),
};
/** Two tokens are half a character each. */
const halves = {
  decode: (ids: readonly number[]) =>
    ids.map((id, i) => (i % 2 === 1 ? "é" : i === ids.length - 1 ? "\ufffd" : "")).join(""),
};

async function read(options: Partial<StreamTextOptions>, tokenizer = letters) {
  const stream = streamText(generator, tokenizer, {
    inputIds: expected.prompts[1]!,
    maxNewTokens: 20,
    ...options,
  });
  const pieces: string[] = [];
  let next = await stream.next();
  for (; next.done !== true; next = await stream.next()) pieces.push(next.value);
  return { pieces, ...next.value };
}

describe("streamText", () => {
  it("yields the text piece by piece, then tells the tokens and why they end", async () => {
    const { pieces, tokens, stopped } = await read({});
    expect(pieces).toEqual([...letters.decode(row)]);
    expect(tokens).toEqual(row);
    expect(stopped).toBe("length");
  });

  it("never yields a part of a character", async () => {
    const { pieces } = await read({ inputIds: expected.prompts[3]!, maxNewTokens: 5 }, halves);
    expect(pieces.slice(0, -1).every((piece) => /^é*$/.test(piece))).toBe(true);
    // The half that is left at the end is told as such.
    expect(pieces.join("")).toBe(`éé\ufffd`);
  });

  it("leaves out the stop string, and what comes with it in the same token", async () => {
    const whole = letters.decode(row);
    const twice = {
      decode: (ids: readonly number[]) => ids.map((id) => letters.decode([id, id])).join(""),
    };
    const stop = whole.slice(6, 9);
    const { pieces, tokens, stopped } = await read({ stopStrings: [stop, "000"] });
    expect(pieces.join("")).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(tokens).toEqual(row.slice(0, whole.indexOf(stop) + 3));
    expect(stopped).toBe("stop");
    // One letter of each pair is the stop string: the pair's first is where it ends.
    const first = await read({ stopStrings: [whole[4]!] }, twice);
    expect(first.pieces.join("")).toBe(twice.decode(row.slice(0, whole.indexOf(whole[4]!))));
    expect(first.tokens).toEqual(row.slice(0, whole.indexOf(whole[4]!) + 1));
  });

  it("gives what looked like the beginning of a stop string and was not", async () => {
    const whole = letters.decode(row);
    const { pieces } = await read({ stopStrings: [`${whole.slice(-2)}0`, `${whole.slice(2, 5)}0`] });
    expect(pieces.join("")).toBe(whole);
  });

  it("frees everything when it is left", async () => {
    await read({});
    const before = liveTensors();
    const options = { inputIds: expected.prompts[1]!, maxNewTokens: 20 };
    for await (const _piece of streamText(generator, letters, options)) break;
    expect(liveTensors()).toBe(before);
  });
});
