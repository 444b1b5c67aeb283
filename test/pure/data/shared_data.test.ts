import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Dataset } from "../../../src/data/dataset.js";

const folder = new URL("../../../../shared/data/", import.meta.url).pathname;

/** Reads a whole file at once, as the lazy reader does not. */
const lines = (path: string) =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);

// Skipped where the real data sets are not beside the project.
describe.skipIf(!existsSync(folder))("real data sets", () => {
  it.each([
    ["gsm8k/test.jsonl", 1319, ["question", "answer"]],
    ["tatoeba-eng-spa/train.jsonl", 20000, ["en", "es"]],
  ])("reads %s line by line as it is when read at once", async (name, rows, columns) => {
    const dataset = await Dataset.fromFile(folder + name);
    expect([dataset.length, await dataset.columns()]).toEqual([rows, columns]);
    const expected = lines(folder + name);
    expect(await dataset.toArray()).toEqual(expected);
    const shuffled = dataset.shuffle(1);
    const text = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row));
    expect(text(await shuffled.toArray()).sort()).toEqual(text(expected).sort());
    expect(shuffled.where(0)).toMatch(/\.jsonl, line \d+$/);
    dataset.close();
  });

  it("reads a JSON array", async () => {
    const dataset = await Dataset.fromFile(`${folder}rasbt-instruction/instruction-data.json`);
    expect([dataset.length, await dataset.columns()]).toEqual([1100, ["instruction", "input", "output"]]);
  });
});
