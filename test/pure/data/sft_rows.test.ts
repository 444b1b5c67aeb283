import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Dataset } from "../../../src/data/dataset.js";
import { IterableDataset } from "../../../src/data/iterable.js";
import { describeNotes } from "../../../src/data/prepared.js";
import type { RowTokenizer } from "../../../src/data/row_tokenizer.js";
import { prepareSftDataset, prepareSftStream, type SftRowOptions } from "../../../src/data/sft_rows.js";
import {
  Tokenizer,
  type ChatMessage,
  type ChatTemplateOptions,
  type MaskedChat,
} from "../../../src/text/index.js";

/** What parity/data.py wrote: a tokenizer, rows, and what TRL's SFTTrainer made of them. */
interface Fixture {
  readonly tokenizerJson: unknown;
  readonly chatTemplate: string;
  readonly cases: readonly {
    readonly name: string;
    readonly rows: readonly Record<string, unknown>[];
    readonly options: {
      readonly max_length?: number;
      readonly truncation_mode?: "keep_start" | "keep_end";
      readonly completion_only_loss?: boolean;
      readonly assistant_only_loss?: boolean;
    };
    readonly expected: readonly { readonly input_ids: number[]; readonly labels: number[] }[];
  }[];
}
const path = new URL("../../fixtures/data/sft_rows.json", import.meta.url);
const fixture = JSON.parse(readFileSync(path, "utf8")) as Fixture;

const wordTokenizer = new Tokenizer({
  tokenizerJson: fixture.tokenizerJson,
  config: { bos_token: "<s>", eos_token: "</s>", pad_token: "<pad>", unk_token: "<unk>" },
  chatTemplates: new Map([["default", fixture.chatTemplate]]),
});

/** One token for each letter, 1 in front: ids are character codes. Of a conversation, the assistant said the end. */
class LetterTokenizer implements RowTokenizer {
  readonly eosToken: string | undefined = "$";
  readonly eosTokenId = 36;
  calls = 0;

  encode(text: string): number[] {
    this.calls += 1;
    return [1, ...[...text].map((letter) => letter.charCodeAt(0))];
  }

  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions & { returnAssistantTokensMask: true },
  ): MaskedChat;
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): number[];
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions = {},
  ): MaskedChat | number[] {
    const inputIds = [...messages.map((_, i) => i), 3];
    const assistantMask = [...messages.map(({ role }) => (role === "assistant" ? 1 : 0)), 0];
    return options.returnAssistantTokensMask === true ? { inputIds, assistantMask } : inputIds;
  }
}
const letters = new LetterTokenizer();

class EndlessTokenizer extends LetterTokenizer {
  override readonly eosToken = undefined;
}

const prepare = (
  rows: readonly object[],
  options?: SftRowOptions,
  tokenizer: RowTokenizer | undefined = letters,
) => prepareSftDataset(Dataset.fromArray(rows, { name: "train.jsonl" }), tokenizer, options);

const plain = (rows: readonly { readonly input_ids: Int32Array; readonly labels: Int32Array }[]) =>
  rows.map((row) => ({ input_ids: [...row.input_ids], labels: [...row.labels] }));

describe("prepareSftDataset, against TRL", () => {
  it.each(fixture.cases)("$name", async ({ rows, options, expected }) => {
    const { dataset, lengths, report } = await prepare(
      rows,
      {
        ...(options.max_length !== undefined && { maxLength: options.max_length }),
        ...(options.truncation_mode !== undefined && { truncationMode: options.truncation_mode }),
        ...(options.completion_only_loss !== undefined && {
          completionOnlyLoss: options.completion_only_loss,
        }),
        ...(options.assistant_only_loss !== undefined && { assistantOnlyLoss: options.assistant_only_loss }),
        onBadRow: "drop",
      },
      wordTokenizer,
    );
    expect(plain(await dataset.toArray())).toEqual(expected);
    expect([...lengths]).toEqual(expected.map((row) => row.input_ids.length));
    expect([report.rows, report.kept]).toEqual([rows.length, expected.length]);
  });

  it("has every case that drops a row or finds a prompt that is no prefix in its report", async () => {
    const notes = await Promise.all(
      ["prompt and completion", "prompt and completion, cut from the end"].map(async (name) => {
        const found = fixture.cases.find((entry) => entry.name === name)!;
        const maxLength = found.options.max_length;
        const options = { onBadRow: "drop" as const, ...(maxLength !== undefined && { maxLength }) };
        return (await prepare(found.rows, options, wordTokenizer)).report.notes;
      }),
    );
    expect(notes).toEqual([
      [{ kind: "prompt_not_prefix", count: 1, first: "train.jsonl, row 2" }],
      [
        { kind: "dropped_unsupervised", count: 1, first: "train.jsonl, row 0" },
        { kind: "truncated", count: 1, first: "train.jsonl, row 1" },
      ],
    ]);
  });
});

describe("prepareSftDataset", () => {
  it("ends text in a column of any name, and does not end it twice", async () => {
    const { dataset } = await prepare([{ body: "ab" }, { body: "c$" }], { datasetTextField: "body" });
    const rows = plain(await dataset.toArray());
    expect(rows.map((row) => row.input_ids)).toEqual([
      [1, 97, 98, 36],
      [1, 99, 36],
    ]);
  });

  it("adds no end where the tokenizer has none", async () => {
    const { dataset } = await prepare([{ text: "ab" }], {}, new EndlessTokenizer());
    expect([...(await dataset.row(0)).input_ids]).toEqual([1, 97, 98]);
  });

  it("takes padding off tokenised rows and ignores labels on it", async () => {
    const { dataset, report } = await prepare([
      { input_ids: [0, 5, 6, 7, 0, 0], attention_mask: [0, 1, 1, 1, 0, 0] },
      {
        input_ids: [5, 6, 7, 0],
        attention_mask: [1, 1, 1, 0],
        labels: [-100, 6, 7, 0],
        assistant_masks: [0, 1, 1, 0],
      },
      { input_ids: [5, 6, 7], attention_mask: [1, 0, 1] },
    ]);
    expect(await dataset.toArray()).toEqual([
      { input_ids: Int32Array.of(5, 6, 7), labels: Int32Array.of(5, 6, 7) },
      {
        input_ids: Int32Array.of(5, 6, 7),
        labels: Int32Array.of(-100, 6, 7),
        assistant_masks: Int32Array.of(0, 1, 1),
      },
      {
        input_ids: Int32Array.of(5, 6, 7),
        labels: Int32Array.of(5, -100, 7),
        attention_mask: Int32Array.of(1, 0, 1),
      },
    ]);
    expect(report.notes).toEqual([{ kind: "label_on_padding", count: 1, first: "train.jsonl, row 1" }]);
    expect(report.tokens).toBe(9);
  });

  it("keeps the assistant's mask of a conversation when asked, and cuts it along", async () => {
    const messages = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ];
    const { dataset } = await prepare([{ messages }], { returnAssistantMasks: true, maxLength: 2 });
    expect(await dataset.row(0)).toEqual({
      input_ids: Int32Array.of(0, 1),
      labels: Int32Array.of(0, 1),
      assistant_masks: Int32Array.of(0, 1),
    });
  });

  it("gives the template the row's tools and variables, and names the row that it refuses", async () => {
    const chatTemplate =
      "{{ bos_token }}{% if word == 'no' %}{{ raise_exception('not that') }}{% endif %}" +
      "{% for tool in tools %}{{ tool.name }} {% endfor %}{{ word }} {{ messages[0].content }}";
    const tokenizer = new Tokenizer({
      tokenizerJson: fixture.tokenizerJson,
      config: { bos_token: "<s>" },
      chatTemplates: new Map([["default", chatTemplate]]),
    });
    const row = { messages: [{ role: "user", content: "the cat" }], tools: '[{"name":"mat"}]' };
    const { dataset } = await prepare([{ ...row, chat_template_kwargs: { word: "yes" } }], {}, tokenizer);
    const ids = (await dataset.row(0)).input_ids;
    expect([...ids]).toEqual(["<s>", "mat", "yes", "the", "cat"].map((word) => tokenizer.tokenToId(word)));
    const refused = prepare([{ ...row, chat_template_kwargs: { word: "no" } }], {}, tokenizer);
    await expect(refused).rejects.toThrow(/^train\.jsonl, row 0, .*not that/);
    await expect(prepare([{ ...row, tools: "mat" }], {}, tokenizer)).rejects.toThrow(
      "train.jsonl, row 0, column tools = mat: is not valid JSON.",
    );
    await expect(prepare([{ ...row, chat_template_kwargs: 3 }], {}, tokenizer)).rejects.toThrow(
      "train.jsonl, row 0, column chat_template_kwargs = 3: must be an object of variables.",
    );
  });

  it("prepares rows beyond the cache again when they are read", async () => {
    const counting = new LetterTokenizer();
    const rows = ["a", "bb", "ccc"].map((text) => ({ text }));
    // 3 + 4 tokens fit, the third row's 5 do not.
    const { dataset } = await prepare(rows, { cacheTokens: 7 }, counting);
    expect(counting.calls).toBe(3);
    const read = plain(await dataset.toArray());
    expect(counting.calls).toBe(4);
    expect(read.map((row) => row.input_ids.length)).toEqual([3, 4, 5]);
  });

  it.each<[string, object, SftRowOptions, string]>([
    [
      "no known column",
      { body: "a" },
      {},
      'train.jsonl, row 0: has no column "text"; its columns are "body". Rows need the columns text, or prompt and completion',
    ],
    ["a ShareGPT row", { conversations: [] }, {}, "rename conversations to messages with role and content"],
    [
      "a prompt alone",
      { prompt: "a" },
      {},
      'train.jsonl, row 0: has no column "completion"; its columns are "prompt".',
    ],
    ["an empty object", {}, {}, 'has no column "text"; its columns are none'],
    [
      "empty text",
      { text: "" },
      {},
      'train.jsonl, row 0: column text is empty. Mend or remove the row, or set onBadRow to "drop".',
    ],
    ["an empty conversation", { messages: [] }, {}, "train.jsonl, row 0: column messages is empty."],
    ["no tokens", { input_ids: [] }, {}, "train.jsonl, row 0: the row is empty: it has no token."],
    ["only padding", { input_ids: [1, 2], attention_mask: [0, 0] }, {}, "attention_mask is nowhere 1"],
    [
      "an empty completion",
      { prompt: "a", completion: "" },
      {},
      "train.jsonl, row 0: column completion is empty.",
    ],
    [
      "no label",
      { input_ids: [1, 2], labels: [-100, -100] },
      {},
      "train.jsonl, row 0: the row has no supervised token",
    ],
    [
      "a label on the first token only",
      { input_ids: [1, 2], labels: [1, -100] },
      {},
      "the row has no supervised token",
    ],
    [
      "a prompt that fills the row",
      { prompt: "abc", completion: "d" },
      { maxLength: 4 },
      "no supervised token left once its 6 tokens are cut to maxLength = 4",
    ],
    ["text that is a number", { text: 7 }, {}, "train.jsonl, row 0, column text = 7: must be text."],
    ["messages that are text", { messages: "hi" }, {}, "column messages = hi: must be a list of messages."],
    [
      "a message without role",
      { messages: [{ role: "user" }, { content: "a" }] },
      {},
      "column messages, message 1",
    ],
    [
      "labels of another length",
      { input_ids: [1, 2], labels: [1] },
      {},
      "column labels = 1 values: must have as many",
    ],
    [
      "no mask for the loss",
      { input_ids: [1, 2] },
      { assistantOnlyLoss: true },
      'has no column "assistant_masks"',
    ],
    [
      "a conversation without assistant",
      { messages: [{ role: "user" }] },
      { assistantOnlyLoss: true },
      "no token of the conversation is the assistant's",
    ],
    [
      "a loss on completions that are not there",
      { text: "a" },
      { completionOnlyLoss: true },
      "completionOnlyLoss = true: the rows have no completion",
    ],
    [
      "a loss on an assistant that is not there",
      { text: "a" },
      { assistantOnlyLoss: true },
      "assistantOnlyLoss = true: the rows are no conversations",
    ],
    ["a length of one", { text: "a" }, { maxLength: 1 }, "maxLength = 1: must be an integer of at least 2."],
  ])("refuses %s", async (_, row, options, message) => {
    await expect(prepare([row], options)).rejects.toThrow(message);
  });

  it("refuses rows of another format than the first, text without tokenizer, and unknown options", async () => {
    await expect(prepare([{ text: "a" }, { prompt: "a", completion: "b" }])).rejects.toThrow(
      'train.jsonl, row 1: has no column "text"; its columns are "prompt", "completion".',
    );
    const dataset = Dataset.fromArray([{ text: "a" }]);
    await expect(prepareSftDataset(dataset, undefined)).rejects.toThrow(
      "the row is text and there is no tokenizer",
    );
    const misspelt = { maxLength: 4, maxlength: 4 };
    await expect(prepare([{ text: "a" }], misspelt)).rejects.toThrow(
      "SFT rows, option maxlength: there is no such option.",
    );
  });

  it("counts what it leaves out, says so, and refuses to leave out everything", async () => {
    const rows = [{ text: "" }, { text: "abcdef" }, { text: "" }];
    const { dataset, report } = await prepare(rows, { onBadRow: "drop", maxLength: 5 });
    expect(dataset.length).toBe(1);
    expect(dataset.where(0)).toBe("train.jsonl, row 1");
    expect(report).toEqual({
      rows: 3,
      kept: 1,
      tokens: 5,
      notes: [
        { kind: "dropped_empty", count: 2, first: "train.jsonl, row 0" },
        { kind: "truncated", count: 1, first: "train.jsonl, row 1" },
      ],
    });
    expect(describeNotes(report.notes)).toEqual([
      "2 rows were left out for having no text (first: train.jsonl, row 0)",
      "1 row was longer than the maximum length and cut (first: train.jsonl, row 1)",
    ]);
    await expect(prepare([{ text: "" }], { onBadRow: "drop" })).rejects.toThrow("none of its 1 rows is left");
  });

  it("prepares a stream as it comes", async () => {
    const raw = IterableDataset.fromGenerator(() => [{ text: "a" }, { text: "" }, { text: "b" }], {
      name: "stream",
    });
    const { dataset, notes } = prepareSftStream(raw, letters, { onBadRow: "drop" });
    const ids: number[][] = [];
    for await (const row of dataset) ids.push([...row.input_ids]);
    expect(ids).toEqual([
      [1, 97, 36],
      [1, 98, 36],
    ]);
    expect(notes.list()).toEqual([{ kind: "dropped_empty", count: 1, first: "stream, row 1" }]);
    await expect(prepareSftStream(raw, letters).dataset.toDataset()).rejects.toThrow(
      "stream, row 1: column text is empty",
    );
  });
});
