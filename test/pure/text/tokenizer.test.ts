import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import { AutoTokenizer, Tokenizer } from "../../../src/text/index.js";
import { fixture, fixturePath } from "./fixtures.js";

interface Facts {
  readonly vocab_size: number;
  readonly special_tokens: Record<string, string>;
  readonly all_special_ids: readonly number[];
  readonly model_max_length: number;
  readonly chat_template: string | Record<string, string>;
}

const { facts } = fixture<{ facts: Record<"byte_level" | "byte_fallback", Facts> }>("chat.json");
const stories = path.resolve(import.meta.dirname, "../../../../shared/data/stories260K");

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(path.join(os.tmpdir(), "tokenizer-"));
});
afterEach(async () => {
  await rm(scratch, { recursive: true });
});

describe("fromPretrained reads what AutoTokenizer of transformers reads", () => {
  it.each(["byte_level", "byte_fallback"] as const)("%s", async (folder) => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath(folder));
    const expected = facts[folder];
    expect(tokenizer.vocabSize).toBe(expected.vocab_size);
    const roles = {
      bos_token: tokenizer.bosToken,
      eos_token: tokenizer.eosToken,
      pad_token: tokenizer.padToken,
    };
    expect({ ...roles, unk_token: tokenizer.unkToken }).toEqual({
      unk_token: undefined,
      ...expected.special_tokens,
    });
    expect(tokenizer.allSpecialIds).toEqual(expected.all_special_ids);
    expect(tokenizer.modelMaxLength).toBe(folder === "byte_level" ? 256 : Infinity);
    const templates = expected.chat_template;
    expect(tokenizer.chatTemplate).toBe(typeof templates === "string" ? templates : templates["default"]);
  });

  it("gives tokens that only the config knows the next ids", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
    const id = tokenizer.tokenToId("<|extra|>");
    expect(id).toBe(facts.byte_level.vocab_size - 1);
    expect(tokenizer.encode("a<|extra|>", { addSpecialTokens: false }).at(-1)).toBe(id);
    expect(tokenizer.idToToken(id ?? -1)).toBe("<|extra|>");
    const other = await AutoTokenizer.fromPretrained(fixturePath("byte_fallback"));
    expect(other.padTokenId).toBe(facts.byte_fallback.vocab_size - 1);
  });

  it("leaves roles undefined that the files do not give", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
    expect([tokenizer.unkToken, tokenizer.unkTokenId]).toEqual([undefined, undefined]);
    expect(tokenizer.tokenToId("no such token")).toBeUndefined();
    expect(tokenizer.idToToken(1_000_000)).toBeUndefined();
  });
});

describe("encode and decode", () => {
  it("adds special tokens unless told not to, and leaves them out when asked", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
    const ids = tokenizer.encode("Hi<|eos|>");
    expect([ids[0], ids.at(-1)]).toEqual([tokenizer.bosTokenId, tokenizer.eosTokenId]);
    expect(tokenizer.encode("Hi<|eos|>", { addSpecialTokens: false })).toEqual(ids.slice(1));
    expect(tokenizer.decode(ids)).toBe("<|bos|>Hi<|eos|>");
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe("Hi");
    expect(tokenizer.decode(new Int32Array(ids), { skipSpecialTokens: true })).toBe("Hi");
    expect(tokenizer.decode([])).toBe("");
  });

  it("spans every byte of a character, and none for what stands around the text", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
    const { ids, offsets } = tokenizer.encodeWithOffsets("a 𝒳");
    // BOS, "a", " " and the four bytes of U+1D4B3, which is two UTF-16 units long.
    expect(ids).toHaveLength(7);
    expect(offsets).toEqual([
      [0, 0],
      [0, 1],
      [1, 2],
      [2, 4],
      [2, 4],
      [2, 4],
      [2, 4],
    ]);
  });

  it("has no token for ids beyond the vocabulary, as in transformers", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
    expect(tokenizer.decode([...tokenizer.encode("ok", { addSpecialTokens: false }), 99_999])).toBe("ok");
  });

  it("splits special tokens like any text where the config says so", async () => {
    const json = fixture<Record<string, unknown>>("byte_level/tokenizer.json");
    const split = new Tokenizer({ tokenizerJson: json, config: { split_special_tokens: true } });
    const whole = new Tokenizer({ tokenizerJson: json });
    expect(whole.encode("<|eos|>", { addSpecialTokens: false })).toHaveLength(1);
    expect(split.encode("<|eos|>", { addSpecialTokens: false }).length).toBeGreaterThan(1);
  });

  it("cleans up spaces only where the model is not BPE", () => {
    const vocab = { "[UNK]": 0, hello: 1, ",": 2, do: 3, "n't": 4, "!": 5 };
    const model = { type: "WordLevel", vocab, unk_token: "[UNK]" };
    const words = new Tokenizer({ tokenizerJson: { model }, config: { clean_up_tokenization_spaces: true } });
    expect(words.decode([1, 2, 3, 4, 5])).toBe("hello, don't!");
    expect(words.decode([1, 2], { cleanUpTokenizationSpaces: false })).toBe("hello ,");
    const json = fixture<Record<string, unknown>>("byte_level/tokenizer.json");
    const bpe = new Tokenizer({ tokenizerJson: json, config: { clean_up_tokenization_spaces: true } });
    expect(bpe.decode(bpe.encode("a , b", { addSpecialTokens: false }))).toBe("a , b");
  });
});

describe("checkFitsModel", () => {
  it("refuses a model with fewer rows than the tokenizer has ids", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
    const size = tokenizer.vocabSize;
    expect(() => tokenizer.checkFitsModel(size)).not.toThrow();
    expect(() => tokenizer.checkFitsModel(size + 64)).not.toThrow();
    expect(() => tokenizer.checkFitsModel(size - 1)).toThrow(CraftError);
    expect(() => tokenizer.checkFitsModel(size - 1)).toThrow(
      `a tokenizer that does not match the model: token "<|extra|>" has id ${size - 1}`,
    );
  });
});

describe("save", () => {
  it.each(["byte_level", "byte_fallback"])("writes the files of %s byte for byte", async (folder) => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath(folder));
    const target = path.join(scratch, "deep", "folder");
    await tokenizer.save(target);
    const names = await readdir(fixturePath(folder));
    expect((await readdir(target)).sort()).toEqual(names.sort());
    for (const name of names) {
      const [copy, original] = [
        await readFile(path.join(target, name)),
        await readFile(path.join(fixturePath(folder), name)),
      ];
      expect(copy.equals(original), name).toBe(true);
    }
  });

  it("keeps named templates of their own files", async () => {
    const json = fixture<unknown>("byte_level/tokenizer.json");
    const chatTemplates = new Map([
      ["default", "plain"],
      ["rag", "with documents"],
    ]);
    await new Tokenizer({ tokenizerJson: json, config: { eos_token: "<|eos|>" }, chatTemplates }).save(
      scratch,
    );
    const again = await AutoTokenizer.fromPretrained(scratch);
    expect(again.eosToken).toBe("<|eos|>");
    expect(again.applyChatTemplate([{ role: "user" }], { tokenize: false })).toBe("plain");
    expect(again.applyChatTemplate([{ role: "user" }], { tokenize: false, chatTemplate: "rag" })).toBe(
      "with documents",
    );
  });

  it("names the file that cannot be written, and leaves nothing half-written", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(fixturePath("byte_level"));
    await writeFile(path.join(scratch, "taken"), "a file, not a folder");
    await expect(tokenizer.save(path.join(scratch, "taken"))).rejects.toThrow(
      /taken.tokenizer.json: it cannot be written/,
    );
    expect(await readdir(scratch)).toEqual(["taken"]);
  });
});

describe("files that are missing or broken", () => {
  const load = () => AutoTokenizer.fromPretrained(scratch);

  it("a folder that is not there", async () => {
    await expect(AutoTokenizer.fromPretrained(path.join(scratch, "none"))).rejects.toThrow(CraftError);
    await expect(AutoTokenizer.fromPretrained("some-org/some-model")).rejects.toThrow(
      /id of a model on a hub, download/,
    );
  });

  it("a folder without tokenizer.json", async () => {
    await expect(load()).rejects.toThrow(/tokenizer\.json: the file is missing/);
    await writeFile(path.join(scratch, "tokenizer.model"), "");
    await expect(load()).rejects.toThrow(/older format \(tokenizer\.model\)/);
  });

  it.each<[string, string, RegExp]>([
    ["tokenizer.json", "", /tokenizer\.json: it is empty/],
    ["tokenizer.json", '{"model": {"type": "BPE", "voc', /tokenizer\.json: it is not complete JSON/],
    ["tokenizer.json", "[]", /tokenizer\.json/],
    ["tokenizer_config.json", '{"bos_token": ', /tokenizer_config\.json: it is not complete JSON/],
    ["tokenizer_config.json", '{"model_max_length": "long"}', /model_max_length of tokenizer_config\.json/],
    ["tokenizer_config.json", '{"chat_template": 3}', /chat_template of tokenizer_config\.json/],
    ["special_tokens_map.json", "7", /special_tokens_map\.json/],
  ])("%s holding %j", async (name, contents, message) => {
    await cp(fixturePath("byte_fallback"), scratch, { recursive: true });
    await writeFile(path.join(scratch, name), contents);
    await expect(load()).rejects.toThrow(CraftError);
    await expect(load()).rejects.toThrow(message);
  });

  it("text that is not UTF-8", async () => {
    await cp(fixturePath("byte_level"), scratch, { recursive: true });
    await writeFile(path.join(scratch, "chat_template.jinja"), Buffer.from([0xff, 0xfe, 0x41]));
    await expect(load()).rejects.toThrow(/chat_template\.jinja: it is not UTF-8 text/);
  });

  it("tokenizer.json alone is enough", async () => {
    await cp(fixturePath("byte_level/tokenizer.json"), path.join(scratch, "tokenizer.json"));
    const tokenizer = await load();
    expect(tokenizer.bosToken).toBeUndefined();
    expect(tokenizer.decode(tokenizer.encode("Hello"))).toBe("<|bos|>Hello");
  });
});

describe.skipIf(!existsSync(stories))("stories260K (skipped where ../shared/data is absent)", () => {
  it("gives the ids that transformers gave", async () => {
    const reference = JSON.parse(await readFile(path.join(stories, "reference.json"), "utf8")) as {
      text: string;
      input_ids: number[];
      greedy_ids: number[];
      greedy_text: string;
    };
    const tokenizer = await AutoTokenizer.fromPretrained(stories);
    expect(tokenizer.encode(reference.text)).toEqual(reference.input_ids);
    expect(tokenizer.decode(reference.greedy_ids, { skipSpecialTokens: true })).toBe(reference.greedy_text);
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.unkTokenId]).toEqual([1, 2, 0]);
    expect([tokenizer.vocabSize, tokenizer.modelMaxLength]).toEqual([512, 512]);
    expect(() => tokenizer.checkFitsModel(512)).not.toThrow();
    const hard = "naïve 日本語 👩‍💻\r\n\ttabs  and   spaces ";
    expect(tokenizer.decode(tokenizer.encode(hard), { skipSpecialTokens: true })).toBe(hard);
  });
});
