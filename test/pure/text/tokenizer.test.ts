import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import { AutoTokenizer } from "../../../src/text/index.js";
import { fixture, fixturePath, openTokenizer, withFolder } from "./fixtures.js";

interface Facts {
  vocab_size: number;
  special_tokens: Record<string, string>;
  all_special_ids: number[];
  model_max_length: number;
  chat_template: string | Record<string, string>;
}
const { facts } = fixture<{ facts: Record<string, Facts> }>("chat.json");

describe.each(Object.keys(facts))("the %s tokenizer", async (folder) => {
  const python = facts[folder]!;
  const tokenizer = await AutoTokenizer.fromPretrained(fixturePath(folder));

  it("knows what transformers knows of it", () => {
    expect(tokenizer.vocabSize).toBe(python.vocab_size);
    expect(tokenizer.allSpecialIds).toEqual(python.all_special_ids);
    expect(tokenizer.modelMaxLength).toBe(
      python.model_max_length > 1e20 ? Infinity : python.model_max_length,
    );
    expect(tokenizer.chatTemplate).toEqual(python.chat_template);
    const { bos_token: bos, eos_token: eos, pad_token: pad, unk_token: unk } = python.special_tokens;
    const { bosToken, eosToken, padToken, unkToken } = tokenizer;
    expect([bosToken, eosToken, padToken, unkToken]).toEqual([bos, eos, pad, unk]);
    const { bosTokenId, eosTokenId, padTokenId, unkTokenId } = tokenizer;
    const tokens = [bosTokenId, eosTokenId, padTokenId, unkTokenId].map((id) =>
      id === undefined ? undefined : tokenizer.idToToken(id),
    );
    expect(tokens).toEqual([bos, eos, pad, unk]);
  });

  it("is written byte for byte as it was read", async () => {
    await withFolder({}, async (empty) => {
      const target = join(empty, "new", "folder");
      await tokenizer.save(target);
      const names = await readdir(fixturePath(folder));
      expect((await readdir(target)).sort()).toEqual(names.sort());
      for (const name of names) {
        expect(await readFile(join(target, name))).toEqual(await readFile(join(fixturePath(folder), name)));
      }
    });
  });

  it("fits a model with as many tokens, and no smaller one", () => {
    tokenizer.checkFitsModel(python.vocab_size);
    tokenizer.checkFitsModel(python.vocab_size + 64);
    expect(() => tokenizer.checkFitsModel(python.vocab_size - 1)).toThrow(/they do not match/);
  });
});

describe("ids and tokens", async () => {
  const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));

  it("has no token for an id beyond the vocabulary and no id for a token that is not in it", () => {
    expect(tokenizer.idToToken(601)).toBe("<|eos|>");
    expect(tokenizer.idToToken(611)).toBeUndefined();
    expect(tokenizer.tokenToId("<|eos|>")).toBe(601);
    expect(tokenizer.tokenToId("no such token")).toBeUndefined();
  });

  it("leaves ids without a token out, and makes nothing of no ids", () => {
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.decode([600], { skipSpecialTokens: true })).toBe("");
    expect(tokenizer.decode([99999, 5])).toBe("&");
  });

  it("adds the tokens that only the configuration names", () => {
    // From transformers: AutoTokenizer.from_pretrained(...).encode("a<|extra|>b <pad>")
    expect(tokenizer.encode("a<|extra|>b <pad>")).toEqual([600, 64, 610, 65, 465, 79, 64, 67, 29]);
  });

  it("puts no special tokens around a text unless asked to", () => {
    expect(tokenizer.encode("Hello").slice(1)).toEqual(
      tokenizer.encode("Hello", { addSpecialTokens: false }),
    );
    expect(tokenizer.encodeWithOffsets("a", { addSpecialTokens: false })).toEqual({
      ids: [64],
      offsets: [[0, 1]],
    });
  });
});

describe("add_bos_token and add_eos_token", () => {
  const json = fixture<object>("byte_level/tokenizer.json");
  const tokens = { bos_token: "<|bos|>", eos_token: "<|eos|>" };

  it.each([
    [{}, [600, 64]],
    [{ add_bos_token: false }, [64]],
    [{ add_bos_token: true, add_eos_token: true }, [600, 64, 601]],
    [{ add_eos_token: true }, [64, 601]],
  ])("%o", async (flags, ids) => {
    const tokenizer = await openTokenizer(json, { ...tokens, ...flags });
    expect(tokenizer.encode("a")).toEqual(ids);
    const offsets = ids.map((id) => (id === 64 ? [0, 1] : [0, 0]));
    expect(tokenizer.encodeWithOffsets("a")).toEqual({ ids, offsets });
  });
});

describe("folders without a usable tokenizer", () => {
  const valid = readFileSync(fixturePath("byte_level/tokenizer.json"), "utf8");

  it.each([
    ["no file", {}, /tokenizer\.json: there is no such file\. .*save_pretrained/],
    ["a file cut short", { "tokenizer.json": valid.slice(0, 500) }, /tokenizer\.json: is not JSON/],
    ["a list", { "tokenizer.json": "[]" }, /tokenizer\.json: must hold a JSON object/],
    ["no vocabulary", { "tokenizer.json": "{}" }, /tokenizer\.json: has no model with a vocabulary/],
    [
      "a part that is unknown",
      { "tokenizer.json": valid.replace('"decoder": {"type": "ByteLevel"', '"decoder": {"type": "New"') },
      /tokenizer\.json: not a tokenizer that can be read: .*New/,
    ],
    [
      "a broken configuration",
      { "tokenizer.json": valid, "tokenizer_config.json": "{" },
      /tokenizer_config\.json: is not JSON/,
    ],
    [
      "a chat template of another kind",
      { "tokenizer.json": valid, "tokenizer_config.json": '{"chat_template": [{"name": "a"}]}' },
      /tokenizer_config\.json: chat_template must be/,
    ],
  ])("%s", async (_, files: Record<string, string>, message) => {
    await withFolder(files, async (folder) => {
      const opening = AutoTokenizer.fromPretrained(folder);
      await expect(opening).rejects.toBeInstanceOf(CraftError);
      await expect(opening).rejects.toThrow(message);
    });
  });

  it("cannot be written where a file stands in the way", async () => {
    await withFolder({ file: "" }, async (folder) => {
      const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
      await expect(tokenizer.save(join(folder, "file"))).rejects.toThrow(
        /the tokenizer cannot be written there/,
      );
    });
  });
});

const stories = "../shared/data/stories260K";

describe.skipIf(!existsSync(stories))(`a real model's tokenizer (skipped without ${stories})`, () => {
  it("gives the ids and the text of transformers", async () => {
    const reference = JSON.parse(readFileSync(join(stories, "reference.json"), "utf8")) as {
      text: string;
      input_ids: number[];
      greedy_ids: number[];
      greedy_text: string;
    };
    const tokenizer = await AutoTokenizer.fromPretrained(stories);
    expect(tokenizer.encode(reference.text)).toEqual(reference.input_ids);
    expect(tokenizer.decode(reference.greedy_ids, { skipSpecialTokens: true })).toBe(reference.greedy_text);
    expect(tokenizer.vocabSize).toBe(512);
    expect(tokenizer.modelMaxLength).toBe(512);
    tokenizer.checkFitsModel(512);
  });
});
