/** @file Mixtures, splits and formats, against datasets and TRL. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  readableFiles,
  splitsByName,
  splitsByPatterns,
  type DataFiles,
} from "../../../src/data/data_files.js";
import {
  concatenateDatasets,
  Dataset,
  datasetFormat,
  extractPrompt,
  interleaveDatasets,
  isConversational,
  isConversationalFromValue,
  IterableDataset,
  maybeConvertToChatml,
  maybeExtractPrompt,
  maybeUnpairPreferenceDataset,
  type Row,
  type StoppingStrategy,
} from "../../../src/data/index.js";

interface Case<Expected> {
  readonly row: Row;
  readonly expected: Expected;
}
interface Recorded {
  readonly interleave: readonly {
    readonly lengths: readonly number[];
    readonly strategy: StoppingStrategy;
    readonly map: readonly number[];
    readonly stream: readonly number[];
  }[];
  readonly data_files: readonly {
    readonly files: readonly string[];
    readonly patterns?: DataFiles;
    readonly expected:
      string | { readonly module: string; readonly splits: Readonly<Record<string, string[]>> };
  }[];
  readonly formats: {
    readonly extract: readonly Case<Row>[];
    readonly maybe_extract: readonly Case<Row>[];
    readonly chatml: readonly Case<Row>[];
    readonly conversational: readonly (Case<boolean> & { readonly from_value: boolean })[];
    readonly unpair: readonly { readonly rows: readonly Row[]; readonly expected: readonly Row[] }[];
  };
}

const recorded = JSON.parse(
  readFileSync(new URL("../../fixtures/data/sources.json", import.meta.url), "utf8"),
) as Recorded;
async function collected<R>(rows: AsyncIterable<R>): Promise<R[]> {
  const all: R[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

describe("mixtures", () => {
  const parts = (lengths: readonly number[]): Dataset<{ v: number }>[] =>
    lengths.map((length, k) =>
      Dataset.fromArray(
        Array.from({ length }, (_, i) => ({ v: 10 * k + i })),
        { name: `part ${k}` },
      ),
    );
  const streams = (lengths: readonly number[]): IterableDataset<{ v: number }>[] =>
    parts(lengths).map((part) => IterableDataset.fromGenerator(() => part));
  const values = async (rows: AsyncIterable<{ v: number }>): Promise<number[]> =>
    (await collected(rows)).map(({ v }) => v);

  it.each(recorded.interleave)(
    "take turns as in datasets: $lengths, $strategy",
    async ({ lengths, strategy, map, stream }) => {
      const options = { stoppingStrategy: strategy };
      expect(await values(interleaveDatasets(parts(lengths), options))).toEqual(map);
      expect(await values(interleaveDatasets(streams(lengths), options))).toEqual(stream);
    },
  );

  it.each(["map", "stream"] as const)("draw by probability, the same for the same seed: %s", async (kind) => {
    const draw = (seed: number, stoppingStrategy: StoppingStrategy): Promise<number[]> => {
      const options = { probabilities: [0.75, 0.25], seed, stoppingStrategy };
      const lengths = [1000, 400];
      return values(
        kind === "map"
          ? interleaveDatasets(parts(lengths), options)
          : interleaveDatasets(streams(lengths), options),
      );
    };
    const drawn = await draw(1, "first_exhausted");
    expect(await draw(1, "first_exhausted")).toEqual(drawn);
    expect(await draw(2, "first_exhausted")).not.toEqual(drawn);
    // The longer one ends after some 1333 draws, of which a quarter is from the other; 5 standard deviations.
    const others = drawn.length - 1000;
    expect(Math.abs(others - 1000 / 3)).toBeLessThan(5 * Math.sqrt(1000 / 3 / 0.75));
    const once = await draw(1, "all_exhausted_without_replacement");
    expect(once).toHaveLength(1400);
    const all = await draw(1, "all_exhausted");
    expect(all.length).toBeGreaterThan(1400);
    expect(new Set(all).size).toBe(new Set(once).size);
  });

  it("go one after the other", async () => {
    expect(await values(concatenateDatasets(parts([2, 1])))).toEqual([0, 1, 10]);
    expect(await values(concatenateDatasets(streams([2, 1])))).toEqual([0, 1, 10]);
    expect(interleaveDatasets(parts([1, 1])).where(1)).toBe("part 1, row 0");
  });

  it("are refused where they cannot be made", async () => {
    expect(() => interleaveDatasets([] as Dataset[])).toThrow(/^datasets: there is none/);
    expect(() => interleaveDatasets(parts([1, 0]))).toThrow(/^datasets = part 1: has no rows/);
    await expect(
      values(interleaveDatasets(streams([1, 0]), { stoppingStrategy: "all_exhausted" })),
    ).rejects.toThrow(/has no rows/);
    expect(() => interleaveDatasets(parts([1, 1]), { probabilities: [0.5, 0.4] })).toThrow(
      /must be 2 shares/,
    );
    expect(() => interleaveDatasets(parts([1]), { stoppingStrategy: "never" as StoppingStrategy })).toThrow(
      /stoppingStrategy = never: must be one of/,
    );
    const mixed = [...parts([1]), ...streams([1])] as unknown as Dataset[];
    expect(() => concatenateDatasets(mixed)).toThrow(/some are streams and some are not/);
  });
});

describe("splits", () => {
  it.each(recorded.data_files)("are those of datasets: $files $patterns", ({ files, patterns, expected }) => {
    const splits = patterns === undefined ? splitsByName(files) : splitsByPatterns(files, patterns, "here");
    if (expected === "empty") return expect(splits.size).toBe(0);
    if (expected === "mixed") {
      // datasets wants one format for all splits; here one for each will do.
      return expect(Object.fromEntries(splits)).toEqual({
        train: ["train.csv", "more_train.csv"],
        test: ["test.parquet"],
      });
    }
    if (typeof expected === "string") throw new Error(expected);
    const found = Object.fromEntries(
      [...splits].map(([split, all]) => [
        split,
        expected.module === "imagefolder" ? all : readableFiles(all, "here").files,
      ]),
    );
    expect(found).toEqual(expected.splits);
    expect(Object.keys(found)).toEqual(Object.keys(expected.splits));
    if (expected.module === "imagefolder")
      expect(() => readableFiles(files, "here")).toThrow(/none of its files is read/);
  });

  it("refuse patterns that no file has, and what is no pattern", () => {
    expect(() => splitsByPatterns(["a.jsonl"], { test: "b*" }, "here")).toThrow(
      /^here, data files of split test = b\*: there is no such file/,
    );
    expect(() => splitsByPatterns(["a.jsonl"], { test: 3 } as never, "here")).toThrow(
      /must be a path or pattern/,
    );
  });
});

describe("TRL's formats", () => {
  // TRL loses the first character of the rejected answer: it looks for the space before the beginning, at the end.
  const isLost = ({ chosen }: Row): boolean => chosen === "a ";

  it("have their prompts extracted", () => {
    for (const { row, expected } of recorded.formats.extract) {
      if (isLost(row)) expect(extractPrompt(row)).toEqual({ prompt: "", ...row });
      else expect(extractPrompt(row)).toEqual(expected);
    }
    for (const { row, expected } of recorded.formats.maybe_extract)
      if (!isLost(row)) expect(maybeExtractPrompt(row)).toEqual(expected);
    expect(maybeExtractPrompt({ chosen: "a b", rejected: "a c", id: 1 })).toEqual({
      prompt: "a",
      chosen: " b",
      rejected: " c",
      id: 1,
    });
  });

  it("are refused where there is nothing to extract", () => {
    expect(() => extractPrompt({ chosen: "a" }, "row 3")).toThrow(/^row 3: has no column "rejected"/);
    expect(() => extractPrompt({ chosen: "", rejected: "a" }, "row 3")).toThrow(
      /^row 3: chosen or rejected is empty/,
    );
    expect(() => extractPrompt({ chosen: "a", rejected: [] }, "row 3")).toThrow(/both text or both lists/);
  });

  it("become messages from ShareGPT", () => {
    for (const { row, expected } of recorded.formats.chatml) {
      const before = structuredClone(row);
      expect(maybeConvertToChatml(row)).toEqual(expected);
      expect(row).toEqual(before);
    }
    const row = {
      conversations: [
        { from: "human", value: "hi" },
        { from: "tool", value: "x" },
      ],
    };
    expect(maybeConvertToChatml(row, { human: "user" })).toEqual({
      messages: [
        { role: "user", content: "hi" },
        { role: "tool", content: "x" },
      ],
    });
  });

  it("are conversations or not", () => {
    // Of rows that are half text and half messages, TRL looks at one column or another by chance.
    const clear = recorded.formats.conversational.filter(
      ({ row }) => !(typeof row["prompt"] === "string" && Array.isArray(row["chosen"])),
    );
    for (const { row, expected, from_value: fromValue } of clear)
      expect([row, isConversational(row), isConversationalFromValue(row)]).toEqual([
        row,
        expected,
        fromValue,
      ]);
  });

  it("are unpaired", async () => {
    for (const { rows, expected } of recorded.formats.unpair) {
      const unpaired = await maybeUnpairPreferenceDataset(Dataset.fromArray(rows));
      expect(await unpaired.toArray()).toEqual(expected);
    }
    const many = Dataset.fromArray(
      Array.from({ length: 1500 }, (_, i) => ({ chosen: `c${i}`, rejected: `r${i}` })),
    );
    const rows = await (await maybeUnpairPreferenceDataset(many)).toArray();
    const texts = rows.map((row) => (row as { completion: string }).completion);
    expect([
      texts[0],
      texts[999],
      texts[1000],
      texts[1999],
      texts[2000],
      texts[2499],
      texts[2500],
      texts[2999],
    ]).toEqual(["c0", "c999", "r0", "r999", "c1000", "c1499", "r1000", "r1499"]);
  });

  it("are recognised by their columns", () => {
    const messages = [{ role: "user", content: "hi" }];
    const of = (row: object): string => {
      const { type, conversational, implicitPrompt } = datasetFormat(row);
      return [type, ...(conversational ? ["chat"] : []), ...(implicitPrompt ? ["implicit"] : [])].join(" ");
    };
    expect(of({ text: "a" })).toBe("language_modeling");
    expect(of({ messages })).toBe("language_modeling chat");
    expect(of({ conversations: [{ from: "human", value: "hi" }] })).toBe("language_modeling chat");
    expect(of({ prompt: "a" })).toBe("prompt_only");
    expect(of({ prompt: "a", completion: "b" })).toBe("prompt_completion");
    expect(of({ prompt: "a", completion: "b", label: false })).toBe("unpaired_preference");
    expect(of({ prompt: "a", chosen: "b", rejected: "c" })).toBe("preference");
    expect(of({ chosen: messages, rejected: messages })).toBe("preference chat implicit");
    expect(of({ prompt: "hi", chosen: messages, rejected: messages })).toBe("preference chat implicit");
    expect(of({ input_ids: [1], text: "a" })).toBe("tokenised");
    expect(() => datasetFormat({ answer: 1 }, "x, line 1")).toThrow(
      /^x, line 1: has no column "text"; its columns are "answer"/,
    );
  });
});
