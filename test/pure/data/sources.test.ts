/** @file Files of rows, against pyarrow and pandas. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { Dataset, IterableDataset, type Row } from "../../../src/data/index.js";

interface Recorded {
  readonly parquet: { readonly codecs: readonly string[]; readonly rows: readonly Row[] };
  readonly csv: Readonly<Record<string, { readonly text: string; readonly rows: readonly Row[] }>>;
}

const fixtures = fileURLToPath(new URL("../../fixtures/data/", import.meta.url));
const recorded = JSON.parse(readFileSync(`${fixtures}sources.json`, "utf8")) as Recorded;
const folder = mkdtempSync(join(tmpdir(), "craft-sources-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function collected<R>(rows: AsyncIterable<R>): Promise<R[]> {
  const all: R[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

describe("Parquet", () => {
  it.each(recorded.parquet.codecs)("has the rows that pyarrow reads: %s", async (codec) => {
    const path = `${fixtures}files/${codec}.parquet`;
    const dataset = await Dataset.fromFile(path);
    expect(dataset.length).toBe(recorded.parquet.rows.length);
    expect(await dataset.toArray()).toEqual(recorded.parquet.rows);
    // In any order, across the row groups.
    for (const index of [10, 0, 7, 3, 4])
      expect(await dataset.row(index)).toEqual(recorded.parquet.rows[index]);
    expect(dataset.where(5)).toBe(`${path}, row 5`);
    dataset.close();
    expect(await collected(IterableDataset.fromFiles([path]))).toEqual(recorded.parquet.rows);
  });

  it("keeps large integers, bytes and times", async () => {
    const dataset = await Dataset.fromParquet(`${fixtures}files/special.parquet`);
    expect(await dataset.toArray()).toEqual([
      {
        large: 2n ** 62n,
        bytes: Uint8Array.of(0, 255),
        time: new Date("2024-05-06T07:08:09Z"),
        day: new Date("2024-05-06T00:00:00Z"),
      },
      { large: -(2n ** 62n), bytes: new Uint8Array(), time: null, day: null },
      { large: null, bytes: null, time: null, day: null },
    ]);
    dataset.close();
  });

  it("reads only the row group that a row is in", async () => {
    const whole = readFileSync(`${fixtures}files/none.parquet`);
    // The first row group is destroyed, and the others are sound.
    const path = file(
      "hole.parquet",
      Buffer.concat([whole.subarray(0, 4), Buffer.alloc(600, 0xff), whole.subarray(604)]),
    );
    const dataset = await Dataset.fromParquet(path);
    expect(await dataset.row(9)).toEqual(recorded.parquet.rows[9]);
    await expect(dataset.row(1)).rejects.toThrow(new RegExp(`^${path}, rows 0 to 3: cannot be read`));
    dataset.close();
    await expect(dataset.row(0)).rejects.toThrow(/the dataset was closed/);
  });

  it.each([
    [
      "cut short",
      (all: Buffer) => all.subarray(0, all.length - 100),
      /the Parquet file is cut short: its end is missing/,
    ],
    ["empty", () => Buffer.alloc(0), /is no Parquet file/],
    ["something else", () => Buffer.from('{"text": "a"}\n'.repeat(5)), /is no Parquet file/],
    [
      "one with a broken footer",
      (all: Buffer) => Buffer.concat([all.subarray(0, -300), Buffer.alloc(292, 0xee), all.subarray(-8)]),
      /its footer cannot be read/,
    ],
    [
      "one whose middle is missing",
      (all: Buffer) => Buffer.concat([all.subarray(0, 50), all.subarray(-8)]),
      /its footer cannot be read|ends before byte/,
    ],
  ])("refuses a file that is %s", async (_name, change, message) => {
    const path = file("bad.parquet", change(readFileSync(`${fixtures}files/snappy.parquet`)));
    await expect(Dataset.fromParquet(path)).rejects.toThrow(message);
    await expect(Dataset.fromParquet(path)).rejects.toThrow(path);
  });
});

describe("CSV", () => {
  it.each(Object.entries(recorded.csv))(
    "has the rows that pandas reads: %s",
    async (name, { text, rows }) => {
      const ending = name === "tabs" ? "tsv" : "csv";
      const path = file(`${name}.${ending}`, text);
      expect(await (await Dataset.fromFile(path)).toArray()).toEqual(rows);
      const packed = file(`${name}.${ending}.gz`, gzipSync(text));
      expect(await (await Dataset.fromCsv(packed)).toArray()).toEqual(rows);
      expect(await collected(IterableDataset.fromFiles([packed]))).toEqual(rows);
    },
  );

  it("names the lines of rows, also behind line breaks in fields", async () => {
    const path = file("lines.csv", 'a,b\n1,"x\ny"\n2,z\n');
    const dataset = await Dataset.fromCsv(path);
    expect([dataset.where(0), dataset.where(1)]).toEqual([`${path}, line 2`, `${path}, line 4`]);
  });

  it.each([
    ["fewer fields", 'a,b\n1,2\n"x\ny",1\n3\n', /, line 5 = 3: has 1 fields, and the header has 2 \(a, b\)/],
    ["more fields", "a,b\n1,2,3\n", /, line 2 = 1,2,3: has 3 fields, and the header has 2/],
    [
      "a quote that does not end",
      'a,b\n1,2\n"x,2\n3,4\n',
      /, line 3: a quote is opened in this row and nowhere closed/,
    ],
    ["a column twice", "a,b,a\n1,2,3\n", /, column a: is there twice/],
    ["nothing", "", /is empty: it has no header/],
  ])("refuses a file with %s", async (_name, text, message) => {
    const path = file("bad.csv", text);
    await expect(Dataset.fromCsv(path)).rejects.toThrow(message);
    await expect(collected(IterableDataset.fromFiles([path]))).rejects.toThrow(message);
  });
});

describe("compressed JSON", () => {
  it("is read as lines and as an array", async () => {
    const lines = await Dataset.fromFile(`${fixtures}files/lines.jsonl.gz`);
    expect(await lines.toArray()).toEqual([{ a: 1 }, { a: 2 }]);
    expect(lines.where(1)).toMatch(/lines\.jsonl\.gz, line 2$/);
    const array = file("array.json.gz", gzipSync(' [{"a": 1}]'));
    expect(await (await Dataset.fromFile(array)).toArray()).toEqual([{ a: 1 }]);
    expect(await collected(IterableDataset.fromFiles([array]))).toEqual([{ a: 1 }]);
  });

  it("is refused when it is cut short, no gzip, or holds a bad line", async () => {
    const whole = gzipSync(`${'{"a": "some text that is long enough"}\n'.repeat(1000)}`);
    await expect(Dataset.fromFile(file("cut.jsonl.gz", whole.subarray(0, -20)))).rejects.toThrow(
      /cut\.jsonl\.gz: the gzip file is cut short\. Copy or fetch the file anew\.$/,
    );
    await expect(Dataset.fromFile(file("no.jsonl.gz", '{"a": 1}\n'))).rejects.toThrow(
      /is not a sound gzip file/,
    );
    await expect(Dataset.fromFile(file("bad.jsonl.gz", gzipSync('{"a": 1}\n{"a"\n')))).rejects.toThrow(
      /bad\.jsonl\.gz, line 2 = \{"a": is not valid JSON/,
    );
    await expect(Dataset.fromFile(file("hole.jsonl.gz", gzipSync('{"a": 1}\n\n{"a": 2}\n')))).rejects.toThrow(
      /hole\.jsonl\.gz, line 2: the line is empty/,
    );
  });
});

describe("endings", () => {
  it.each(["rows.xlsx", "rows", "rows.parquet.gz", "rows.jsonl.zst"])(
    "%s is refused, naming those that are read",
    async (name) => {
      await expect(Dataset.fromFile(name)).rejects.toThrow(
        /^rows.*: files .*are not read\. Give a \.jsonl, \.ndjson, \.json, \.csv, \.tsv or \.parquet file; texts may be compressed, with \.gz behind\.$/,
      );
      expect(() => IterableDataset.fromFiles([name])).toThrow(/are not read/);
    },
  );
});

describe("columns", () => {
  const rows = [
    { question: "q", answer: "a", id: 1 },
    { question: "r", answer: "b", id: 2 },
  ];
  const both = [
    Dataset.fromArray(rows, { name: "rows" }),
    IterableDataset.fromGenerator(() => rows, { name: "rows" }),
  ] as const;

  it.each(both)("are renamed, removed and chosen", async (dataset) => {
    const renamed = dataset.renameColumns({ question: "prompt", answer: "completion" });
    expect((await collected(renamed))[1]).toEqual({ prompt: "r", completion: "b", id: 2 });
    expect(await collected(renamed.removeColumns(["id"]).take(1))).toEqual([
      { prompt: "q", completion: "a" },
    ]);
    expect(await collected(renamed.selectColumns(["id"]).take(1))).toEqual([{ id: 1 }]);
    expect((await collected(dataset.renameColumns({ question: "answer", answer: "question" })))[0]).toEqual({
      question: "a",
      answer: "q",
      id: 1,
    });
  });

  it.each(both)("that are missing, or twice, are named", async (dataset) => {
    const missing = /^rows, row 0: has no column "text"; its columns are "question", "answer", "id"/;
    await expect(collected(dataset.renameColumns({ text: "prompt" }))).rejects.toThrow(missing);
    await expect(collected(dataset.removeColumns(["text"]))).rejects.toThrow(missing);
    await expect(collected(dataset.selectColumns(["id", "text"]))).rejects.toThrow(missing);
    await expect(collected(dataset.renameColumns({ question: "id" }))).rejects.toThrow(
      /^rows, row 0 = id: would be the name of two columns/,
    );
  });
});

it("copies of a file under other names are read by what the names say", async () => {
  const path = join(folder, "UPPER.PARQUET");
  copyFileSync(`${fixtures}files/gzip.parquet`, path);
  const dataset = await Dataset.fromFile(path);
  expect(dataset.length).toBe(11);
  dataset.close();
});
