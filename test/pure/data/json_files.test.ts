import {
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Dataset } from "../../../src/data/dataset.js";
import { Random } from "../../../src/random.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-data-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("JSON Lines", () => {
  it.each([
    ["with a newline at the end", '{"a":1}\n{"a":2}\n'],
    ["without one", '{"a":1}\n{"a":2}'],
    [
      "with Windows line ends, a byte order mark and blank lines at the end",
      '\ufeff{"a":1}\r\n {"a":2} \r\n\r\n  \n',
    ],
  ])("reads rows in any order, %s", async (_, content) => {
    const dataset = await Dataset.fromJsonl(file("rows.jsonl", content));
    expect(dataset.length).toBe(2);
    expect(await dataset.rows([1, 0, 1])).toEqual([{ a: 2 }, { a: 1 }, { a: 2 }]);
    expect(await dataset.toArray()).toEqual([{ a: 1 }, { a: 2 }]);
    dataset.close();
  });

  it("names file, line and reason of a malformed line when it is read", async () => {
    const path = file("bad.jsonl", '{"a":1}\n{"a":\n[1]\n"x"\n{"a":4}\n');
    const dataset = await Dataset.fromJsonl(path);
    await expect(dataset.row(1)).rejects.toThrow(`${path}, line 2 = {"a":: is not valid JSON (`);
    await expect(dataset.row(2)).rejects.toThrow(
      `${path}, line 3 = [1]: a row must be a JSON object of columns.`,
    );
    await expect(dataset.row(3)).rejects.toThrow(
      `${path}, line 4 = x: a row must be a JSON object of columns.`,
    );
    expect(await dataset.row(4)).toEqual({ a: 4 });
    expect(dataset.where(4)).toBe(`${path}, line 5`);
    dataset.close();
  });

  it("refuses an empty line between rows, other encodings, compressed and missing files", async () => {
    const gap = file("gap.jsonl", '{"a":1}\n  \n{"a":2}\n');
    await expect(Dataset.fromJsonl(gap)).rejects.toThrow(`${gap}, line 2: the line is empty. Remove it.`);
    const latin = await Dataset.fromJsonl(file("latin.jsonl", Buffer.from('{"a":"\xe9"}\n', "latin1")));
    await expect(latin.row(0)).rejects.toThrow("latin.jsonl, line 1: is not valid UTF-8");
    latin.close();
    const zip = file("rows.gz.jsonl", Buffer.from([0x1f, 0x8b, 8, 0]));
    await expect(Dataset.fromJsonl(zip)).rejects.toThrow("this is a gzip file, not JSON Lines");
    await expect(Dataset.fromJsonl(join(folder, "none.jsonl"))).rejects.toThrow("cannot be opened (ENOENT");
    await expect(Dataset.fromJsonl(folder)).rejects.toThrow("EISDIR");
  });

  it("tells that a file was cut after it was opened, or closed", async () => {
    const path = file("cut.jsonl", '{"a":1}\n{"a":2}\n');
    const dataset = await Dataset.fromJsonl(path);
    truncateSync(path, 10);
    await expect(dataset.row(1)).rejects.toThrow(
      `${path}, line 2: the file has become shorter since it was opened.`,
    );
    dataset.close();
    await expect(dataset.row(0)).rejects.toThrow(`${path}: the dataset was closed.`);
  });

  it("has no row for an empty file", async () => {
    const dataset = await Dataset.fromJsonl(file("empty.jsonl", "\n\n"));
    expect([dataset.length, await dataset.toArray(), await dataset.columns()]).toEqual([0, [], []]);
    dataset.close();
  });

  it("reads lines that are longer than its buffers and lie across them", async () => {
    const lengths = [10, 1_500_000, 3, 1_048_576, 262_144, 7];
    const lines = lengths.map((length, i) => JSON.stringify({ i, x: String(i).repeat(length) }));
    const dataset = await Dataset.fromJsonl(file("long.jsonl", lines.join("\n")));
    for (const order of [
      [0, 1, 2, 3, 4, 5],
      [5, 4, 3, 2, 1, 0],
      [3, 4, 0, 5, 1, 2],
    ]) {
      for (const i of order) {
        const row = await dataset.row(i);
        expect(row["x"] === String(i).repeat(lengths[i]!), `row ${i}`).toBe(true);
      }
    }
    dataset.close();
  });

  it("reads a file of 32 MB, in order and shuffled, while memory grows by less than 4 MB", async () => {
    const rows = 32_000;
    const path = join(folder, "large.jsonl");
    const out = openSync(path, "w");
    for (let start = 0; start < rows; start += 1000) {
      const lines = Array.from({ length: 1000 }, (_, i) =>
        JSON.stringify({ i: start + i, text: "x".repeat(1000) }),
      );
      writeSync(out, `${lines.join("\n")}\n`);
    }
    closeSync(out);
    expect(statSync(path).size).toBeGreaterThan(32_000_000);

    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const inUse = () => {
      collect();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const before = inUse();
    let peak = 0;
    const dataset = await Dataset.fromJsonl(path);
    const order = new Random(1).permutation(rows);
    for (const index of [undefined, order]) {
      let sum = 0;
      for (let i = 0; i < rows; i++) {
        const row = await dataset.row(index?.[i] ?? i);
        sum += Number(row["i"]);
        if (i % 8000 === 0) peak = Math.max(peak, inUse() - before);
      }
      expect(sum).toBe((rows * (rows - 1)) / 2);
    }
    dataset.close();
    expect(peak).toBeLessThan(4 * 2 ** 20);
  });
});

describe("JSON arrays and fromFile", () => {
  it("reads an array, and lines in a file that is called .json", async () => {
    const array = await Dataset.fromFile(file("array.json", ' [{"a": 1}, {"a": 2}]'));
    expect(await array.toArray()).toEqual([{ a: 1 }, { a: 2 }]);
    const lines = await Dataset.fromFile(file("lines.json", '{"a":1}\n{"a":2}\n'));
    expect(await lines.toArray()).toEqual([{ a: 1 }, { a: 2 }]);
    lines.close();
  });

  it("names what is wrong", async () => {
    const path = file("bad.json", '[{"a": 1}, 7]');
    await expect(Dataset.fromFile(path)).rejects.toThrow(`${path}, row 1 = 7: a row must be a JSON object`);
    await expect(Dataset.fromJson(file("cut.json", '[{"a": 1},'))).rejects.toThrow("is not valid JSON (");
    await expect(Dataset.fromJson(file("object.json", "{}"))).rejects.toThrow(
      "does not hold a JSON array of rows",
    );
    await expect(Dataset.fromFile("rows.xlsx")).rejects.toThrow('files ending in ".xlsx" are not read');
  });
});
