/** @file `craft eval` with metrics of texts and of vectors. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { run } from "../../../src/cli/eval.js";
import {
  alignmentScore,
  corpusBleu,
  embed,
  retrieval,
  uniformityScore,
} from "../../../src/evaluation/index.js";
import { generate } from "../../../src/generation/index.js";
import { AutoModelForCausalLM, type CausalLM } from "../../../src/models/index.js";
import { AutoTokenizer, type Tokenizer } from "../../../src/text/index.js";
import { makeModel } from "../tiny_model.js";

interface Bleu {
  cases: { name: string; hypotheses: string[]; references: string[][]; results: { score: number }[] }[];
}
interface Chrf {
  cases: { name: string; results: { options: { wordOrder?: number }; score: number }[] }[];
}
const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/evaluation/${name}`, import.meta.url), "utf8"));
const corpus = (fixture("bleu.json") as Bleu).cases.find(({ name }) => name === "two references")!;
const chrf = (fixture("chrf.json") as Chrf).cases.find(({ name }) => name === corpus.name)!;

const folder = mkdtempSync(join(tmpdir(), "craft-eval-"));
const dataset = join(folder, "rows.jsonl");
let tokenizer: Tokenizer;
let model: CausalLM;

beforeAll(async () => {
  await makeModel(folder);
  tokenizer = await AutoTokenizer.fromPretrained(folder);
  model = await AutoModelForCausalLM.fromPretrained(folder, { dtype: "float32" });
});
afterAll(() => {
  model.dispose();
  rmSync(folder, { recursive: true });
});
afterEach(() => vi.restoreAllMocks());

const write = (rows: readonly object[]): void =>
  writeFileSync(dataset, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

async function evaluate(options: Record<string, unknown>): Promise<Record<string, unknown>> {
  const written: string[] = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => written.push(String(text)) > 0);
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(await run({ dataset, dtype: "float32", json: true, ...options })).toBe(0);
  vi.restoreAllMocks();
  return JSON.parse(written.join("")) as Record<string, unknown>;
}

describe("metrics of texts", () => {
  it("are sacreBLEU's for a column of predictions, without a model", async () => {
    write(
      corpus.hypotheses.map((hyp, i) => ({
        hyp,
        ref: corpus.references[i]![0],
        more: [corpus.references[i]![1]],
      })),
    );
    const result = await evaluate({
      metric: "bleu,chrf,chrf++,rougeL",
      predictionColumn: "hyp",
      referenceColumn: ["ref", "more"],
    });
    expect(result["bleu"]).toBeCloseTo(corpus.results[0]!.score, 9);
    expect(result["chrf"]).toBeCloseTo(chrf.results[0]!.score, 9);
    expect(result["chrf++"]).toBeCloseTo(
      chrf.results.find(({ options }) => options.wordOrder === 2)!.score,
      9,
    );
    expect(result["rougeL"]).toBeGreaterThan(0.5);
    expect(result["signatures"]).toMatchObject({
      bleu: expect.stringMatching(/^nrefs:2\|.*smooth:exp/) as string,
    });
    const floor = await evaluate({
      metric: "bleu",
      predictionColumn: "hyp",
      referenceColumn: "ref",
      smooth: "floor",
      smoothValue: "0.2",
      tokenize: "char",
      lowercase: true,
    });
    const references = corpus.references.map(([first]) => first!);
    const options = { smooth: "floor", smoothValue: 0.2, tokenize: "char", lowercase: true } as const;
    expect(floor["bleu"]).toBe(corpusBleu(corpus.hypotheses, references, options).score);
  });

  it("are of what the model makes of prompts, which is written if asked for", async () => {
    const prompts = ["What does the cat do?", "And the dog?"];
    write(prompts.map((prompt) => ({ prompt, ref: "It sleeps." })));
    const predictions = join(folder, "predictions.jsonl");
    const given = {
      metric: "chrf",
      model: folder,
      promptColumn: "prompt",
      referenceColumn: "ref",
      predictions,
      maxNewTokens: "8",
    };
    await evaluate(given);
    const read = (): string[] =>
      readFileSync(predictions, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { prediction: string }).prediction);
    const text = async (inputIds: number[][]): Promise<string[]> =>
      (await generate(model, { inputIds, maxNewTokens: 8 })).sequences.map((ids) =>
        tokenizer.decode(ids, { skipSpecialTokens: true }).trim(),
      );
    expect(read()).toEqual(await text(prompts.map((prompt) => tokenizer.encode(prompt))));
    await evaluate({ ...given, chat: true });
    const chats = prompts.map((content) => [{ role: "user", content }]);
    const ids = chats.map((chat) => tokenizer.applyChatTemplate(chat, { addGenerationPrompt: true }));
    expect(read()).toEqual(await text(ids));
    write(chats.map((prompt) => ({ prompt, ref: "It sleeps." })));
    await evaluate(given);
    expect(read()).toEqual(await text(ids));
  });
});

it("metrics of vectors are those of the model's pooled hidden states; equal texts are equally right", async () => {
  const pairs = [
    ["the cat", "el gato"],
    ["the dog", "el perro"],
    ["a dog", "el perro"],
    ["the bird", "el pájaro"],
  ] as const;
  write(pairs.map(([en, es]) => ({ en, es })));
  const given = {
    metric: "retrieval,alignment,uniformity",
    model: folder,
    queryColumn: "en",
    candidateColumn: "es",
  };
  const result = await evaluate({ ...given, pooling: "mean", recallAt: ["1", "2"] });
  const vectors = (texts: readonly string[]) =>
    embed(
      model,
      texts.map((text) => tokenizer.encode(text)),
      { pooling: "mean" },
    );
  const [left, right] = [await vectors(pairs.map(([en]) => en)), await vectors(pairs.map(([, es]) => es))];
  const names = pairs.map(([, es]) => es);
  const { recall, meanReciprocalRank } = retrieval(left, right, { names, recallAt: [1, 2] });
  expect(result["recall@1"]).toBeCloseTo(recall.get(1)!, 6);
  expect(result["recall@2"]).toBeCloseTo(recall.get(2)!, 6);
  expect(result["mrr"]).toBeCloseTo(meanReciprocalRank, 6);
  expect(result["alignment"]).toBeCloseTo(alignmentScore(left, right), 5);
  expect(result["uniformity"]).toBeCloseTo(uniformityScore(left), 5);
});

describe("craft eval refuses", () => {
  const rows = [{ hyp: "a", ref: "b", list: [], number: 1 }];
  it.each<[string, Record<string, unknown>, RegExp]>([
    [
      "a metric of texts without references",
      { metric: "bleu", predictionColumn: "hyp" },
      /^--reference-column: is missing/,
    ],
    ["prompts without a column", { metric: "bleu", referenceColumn: "ref" }, /^--prompt-column: is missing/],
    [
      "a column that is not there",
      { metric: "bleu", predictionColumn: "pred", referenceColumn: "ref" },
      /rows\.jsonl, line 1: has no column "pred"; its columns are .*--prediction-column/,
    ],
    [
      "a list without reference",
      { metric: "chrf", predictionColumn: "hyp", referenceColumn: "list" },
      /column "list": has no reference/,
    ],
    [
      "what is no text",
      { metric: "chrf", predictionColumn: "hyp", referenceColumn: "number" },
      /column "number" = 1: is no text/,
    ],
    [
      "both prompts and predictions",
      { metric: "bleu", predictionColumn: "hyp", promptColumn: "ref", referenceColumn: "ref" },
      /^--prompt-column = ref: has no effect beside --prediction-column/,
    ],
    [
      "an unknown BLEU tokenizer",
      { metric: "bleu", predictionColumn: "hyp", referenceColumn: "ref", tokenize: "14a" },
      /^--tokenize = 14a: must be one of "13a"/,
    ],
    [
      "pairs without candidates",
      { metric: "alignment", queryColumn: "hyp" },
      /^--candidate-column: is missing/,
    ],
    ["one row to compare", { metric: "uniformity", queryColumn: "hyp" }, /has one row; two are needed/],
    ["an unknown pooling", { metric: "uniformity", queryColumn: "hyp", pooling: "max" }, /^--pooling = max/],
  ])("%s", async (_name, options, message) => {
    write(rows);
    await expect(run({ dataset, model: folder, ...options })).rejects.toThrow(message);
  });
});
