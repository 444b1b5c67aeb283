/** @file Decoders that score texts, against transformers (parity/classifiers.py). */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AutoModelForSequenceClassification, openCheckpoint } from "../../../src/models/index.js";
import { HostTensor } from "../../../src/tensor/index.js";
import { liveTensors, loadTorch } from "../../../src/torch/index.js";

interface Fixture {
  readonly rows: readonly (readonly number[])[];
  readonly labels: number;
  readonly pad: number;
  readonly cases: readonly {
    readonly checkpoint: string;
    readonly scores: readonly (readonly number[])[];
    readonly names: readonly string[];
    readonly config: Readonly<Record<string, unknown>>;
  }[];
}
const fixtures = join(import.meta.dirname, "../../fixtures");
const fixture = JSON.parse(readFileSync(join(fixtures, "models/classifiers.json"), "utf8")) as Fixture;
const { rows, labels, pad } = fixture;

let temporary: string;
beforeAll(async () => {
  await loadTorch();
  temporary = mkdtempSync(join(tmpdir(), "craft-classifiers-"));
});
afterAll(() => rmSync(temporary, { recursive: true }));

const load = (path: string, numLabels?: number) =>
  AutoModelForSequenceClassification.fromPretrained(path, {
    dtype: "float32",
    ...(numLabels === undefined ? {} : { numLabels }),
  });

describe("AutoModelForSequenceClassification", () => {
  it.each(fixture.cases)("scores as transformers does: $checkpoint", async (expected) => {
    const live = liveTensors();
    const model = await load(join(fixtures, expected.checkpoint), labels);
    expect(model.scoreWasStored).toBe(false);
    const shape = model.score.weight.shape;
    const known = Array.from({ length: shape[0]! * shape[1]! }, (_, i) => Math.sin(i));
    model.score.weight.set(new HostTensor(known, shape, "float32").upload());
    model.padTokenId = pad;
    const found = await model.predict(rows, { batchSize: 2 });
    const scale = Math.max(...expected.scores.flat().map(Math.abs));
    found.forEach((scores, i) =>
      scores.forEach((score, k) =>
        expect(Math.abs(score - expected.scores[i]![k]!)).toBeLessThan(2e-5 * scale),
      ),
    );

    const folder = join(temporary, expected.checkpoint.replace("/", "-"));
    model.savePretrained(folder);
    model.dispose();
    expect(JSON.parse(readFileSync(join(folder, "config.json"), "utf8"))).toMatchObject(expected.config);
    {
      using saved = openCheckpoint(folder);
      expect([...saved.names].sort()).toEqual(expected.names);
    }
    const again = await load(folder);
    expect(again.scoreWasStored).toBe(true);
    expect(await again.predict(rows, { batchSize: 2 })).toEqual(found);
    expect(again.configJson).toMatchObject(expected.config);
    again.dispose();
    expect(liveTensors()).toBe(live);
  });

  it("loads the text part of a model that sees images", async () => {
    const model = await load(join(fixtures, "architectures/gemma3"));
    expect(model.configJson).toMatchObject({
      model_type: "gemma3_text",
      architectures: ["Gemma3TextForSequenceClassification"],
    });
    model.dispose();
  });

  it("keeps the names of labels, and what the config says of tied weights", async () => {
    const folder = join(temporary, "named");
    cpSync(join(fixtures, "llama/untied"), folder, { recursive: true });
    const json = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as object;
    const named = { ...json, id2label: { 0: "reward" }, label2id: { reward: 0 } };
    writeFileSync(join(folder, "config.json"), JSON.stringify(named));
    const model = await load(folder);
    const { id2label, label2id, tie_word_embeddings: tied } = model.configJson;
    expect({ id2label, label2id, tied }).toEqual({
      id2label: { "0": "reward" },
      label2id: named.label2id,
      tied: false,
    });
    model.dispose();
  });

  it("draws a new head from its seed alone", async () => {
    const path = join(fixtures, "llama/tied");
    const heads: number[][] = [];
    for (const seed of [0, 0, 1]) {
      const model = await AutoModelForSequenceClassification.fromPretrained(path, { seed });
      heads.push(model.score.weight.value.toNumbers());
      model.dispose();
    }
    expect(heads[0]).toEqual(heads[1]);
    expect(heads[0]).not.toEqual(heads[2]);
    expect(new Set(heads[0]).size).toBe(heads[0]!.length);
  });

  it("refuses a head of another size, and texts that it cannot read", async () => {
    const folder = join(temporary, "llama-tied");
    const live = liveTensors();
    await expect(load(folder, 1)).rejects.toThrow(/score\.weight.*3 labels.*numLabels/s);
    expect(liveTensors()).toBe(live);
    const model = await load(folder);
    await expect(model.predict([[1], []])).rejects.toThrow(/text 1: has no token/);
    await expect(model.predict([[1, 99]])).rejects.toThrow(/text 0.*99.*0 to 31/s);
    model.dispose();
  });
});
