import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it, vi } from "vitest";
import { loadDataset, prepareSftDataset, Dataset } from "../../../src/data/index.js";
import { fakeHub, temporaryFolder, type FakeHub } from "../hub/fake_hub.js";

vi.stubEnv("HF_HUB_DISABLE_PROGRESS_BARS", "1");

const jsonl = (...values: readonly number[]): string =>
  values.map((v) => `${JSON.stringify({ v })}\n`).join("");
const parquet = readFileSync(new URL("../../fixtures/data/files/zstd.parquet", import.meta.url));
const id = "some-org/some.name";

async function values(rows: AsyncIterable<object>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const row of rows) all.push((row as { v: unknown }).v);
  return all;
}

async function onHub(
  files: Readonly<Record<string, Buffer | string>>,
): Promise<{ hub: FakeHub; options: { endpoint: string; cacheDir: string } }> {
  const hub = await fakeHub({ files, type: "dataset" });
  return { hub, options: { endpoint: hub.endpoint, cacheDir: temporaryFolder() } };
}

function onDisk(files: Readonly<Record<string, Buffer | string>>): string {
  const folder = temporaryFolder();
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

describe("a dataset of the hub", () => {
  const files = {
    "README.md": "---\nlicense: mit\n---\n# A dataset",
    "data/train-00000-of-00002.jsonl": jsonl(1, 2),
    "data/train-00001-of-00002.jsonl": jsonl(3),
    "data/test-00000-of-00001.jsonl": jsonl(4, 5),
  };

  it("is read by split, of which only the files are fetched", async () => {
    const { hub, options } = await onHub(files);
    expect(await values(await loadDataset(id, { ...options, split: "test" }))).toEqual([4, 5]);
    const fetched = hub
      .asked("hub")
      .filter((request) => request.startsWith("GET") && request.includes("data/"));
    expect(fetched).toEqual(["GET data/test-00000-of-00001.jsonl"]);
    expect(await values(await loadDataset(id, options))).toEqual([1, 2, 3]);
    expect(await values(await loadDataset(id, { ...options, split: "test[1:]+train[:67%]" }))).toEqual([
      5, 1, 2,
    ]);
  });

  it("is streamed, each file fetched when its turn comes", async () => {
    const { hub, options } = await onHub(files);
    const stream = await loadDataset(id, { ...options, streaming: true });
    const fetched = (): string[] =>
      hub.asked("hub").filter((request) => request.startsWith("GET") && request.includes("data/"));
    expect(fetched()).toEqual([]);
    const rows = stream.epoch(0);
    await rows.next();
    expect(fetched()).toEqual(["GET data/train-00000-of-00002.jsonl"]);
    await rows.return(undefined);
    expect(await values(stream)).toEqual([1, 2, 3]);
    expect(stream.where(2)).toBe("dataset some-org/some.name, row 2");
    await expect(loadDataset(id, { ...options, streaming: true, split: "train[:1]" })).rejects.toThrow(
      /^split = train\[:1\]: a stream has no known length/,
    );
  });

  it("is read without a network once it was fetched", async () => {
    const { hub, options } = await onHub(files);
    await loadDataset(id, options);
    hub.stop();
    const offline = { ...options, localFilesOnly: true };
    expect(await values(await loadDataset(id, offline))).toEqual([1, 2, 3]);
    await expect(loadDataset(id, { ...offline, split: "test" })).rejects.toThrow(
      /data\/test-00000-of-00001\.jsonl is not in the cache, and localFilesOnly is set/,
    );
  });

  it("names the splits there are, and what is no split", async () => {
    const { options } = await onHub(files);
    await expect(loadDataset(id, { ...options, split: "dev" })).rejects.toThrow(
      "split = dev: dataset some-org/some.name has no such split; it has train, test.",
    );
    await expect(loadDataset(id, { ...options, split: "train[a]" })).rejects.toThrow(
      /^split = train\[a\]: is no split/,
    );
    await expect(loadDataset(id, { ...options, split: "train[:9]" })).rejects.toThrow(
      /^split train = 9: is beyond its 3 rows/,
    );
  });

  it("has the configurations of its README.md", async () => {
    const card = [
      "---",
      "configs:",
      "- config_name: en",
      "  data_files:",
      "  - split: train",
      "    path: en/*.jsonl",
      "  - split: extra",
      "    path: [more/a.jsonl]",
      "- config_name: fr",
      "  data_dir: fr",
      "---",
      "text",
    ];
    const contents = {
      "en/1.jsonl": jsonl(1),
      "en/2.jsonl": jsonl(2),
      "more/a.jsonl": jsonl(3),
      "fr/train.jsonl": jsonl(4),
      "fr/dev.jsonl": jsonl(5),
    };
    const { options } = await onHub({ ...contents, "README.md": card.join("\n") });
    expect(await values(await loadDataset(id, { ...options, name: "en" }))).toEqual([1, 2]);
    expect(await values(await loadDataset(id, { ...options, name: "en", split: "extra" }))).toEqual([3]);
    expect(await values(await loadDataset(id, { ...options, name: "fr", split: "validation" }))).toEqual([5]);
    expect(await values(await loadDataset(id, { ...options, name: "fr", dataFiles: "*.jsonl" }))).toEqual([
      5, 4,
    ]);
    await expect(loadDataset(id, options)).rejects.toThrow(
      /^name: dataset some-org\/some\.name has several configurations, and none is the default one\. Name one of en, fr/,
    );
    await expect(loadDataset(id, { ...options, name: "de" })).rejects.toThrow(
      "name = de: dataset some-org/some.name has no such configuration; it has en, fr.",
    );
    const { options: other } = await onHub({
      ...contents,
      "README.md": card.join("\n").replace("config_name: fr", "config_name: fr\n  default: true"),
    });
    expect(await values(await loadDataset(id, other))).toEqual([4]);
  });

  it("is refused if a script makes it, or if it has no rows that are read", async () => {
    const { options } = await onHub({ "some.name.py": "", "data.jsonl": jsonl(1) });
    await expect(loadDataset(id, options)).rejects.toThrow(
      /^dataset = some-org\/some\.name: is made by a script \(some\.name\.py\), and scripts are not run\. .*refs\/convert\/parquet/,
    );
    const { options: images } = await onHub({ "a.png": "x", "b.png": "y" });
    await expect(loadDataset(id, images)).rejects.toThrow(
      /split train = a\.png, b\.png: none of its files is read/,
    );
    const { options: empty } = await onHub({ "README.md": "x" });
    await expect(loadDataset(id, empty)).rejects.toThrow(/has no files of rows/);
    await expect(loadDataset("some-org/other", { ...empty, token: false })).rejects.toThrow(
      /^dataset id = some-org\/other: is neither a local path nor a dataset at/,
    );
    await expect(loadDataset(id, { ...empty, splitt: "x" } as object)).rejects.toThrow(
      /option splitt: there is no such/,
    );
  });

  it("says which files it leaves out", async () => {
    const { options } = await onHub({
      "train.jsonl": jsonl(1),
      "train_2.jsonl": jsonl(2),
      "train.csv": "v\n3\n",
    });
    const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    expect(await values(await loadDataset(id, options))).toEqual([1, 2]);
    expect(write.mock.calls.join("")).toBe(
      "note: dataset some-org/some.name: 1 files of other formats are left out (train.csv, …)\n",
    );
    write.mockRestore();
  });
});

describe("a local dataset", () => {
  it("is a file of any kind", async () => {
    const folder = onDisk({
      "a.jsonl": jsonl(1),
      "b.jsonl.gz": gzipSync(jsonl(2)),
      "c.csv": "v\n3\n",
      "d.json": '[{"v": 4}]',
      "e.parquet": parquet,
    });
    for (const [name, expected] of [
      ["a.jsonl", [1]],
      ["b.jsonl.gz", [2]],
      ["c.csv", [3]],
      ["d.json", [4]],
    ] as const)
      expect(await values(await loadDataset(join(folder, name)))).toEqual(expected);
    const dataset = await loadDataset(join(folder, "e.parquet"));
    expect(dataset.length).toBe(11);
    dataset.close();
    await expect(loadDataset(join(folder, "a.jsonl"), { split: "test" })).rejects.toThrow(
      /has no such split; it has train/,
    );
    await expect(loadDataset(join(folder, "a.jsonl"), { revision: "main" })).rejects.toThrow(
      /^revision = main: .* is local/,
    );
  });

  it("is a pattern", async () => {
    const folder = onDisk({
      "2.jsonl": jsonl(2),
      "1.jsonl": jsonl(1),
      "sub/3.jsonl": jsonl(3),
      "notes.txt": "x",
    });
    expect(await values(await loadDataset(`${folder}/*.jsonl`))).toEqual([1, 2]);
    expect(await values(await loadDataset(`${folder}/**/*.jsonl`, { streaming: true }))).toEqual([1, 2, 3]);
    await expect(loadDataset(`${folder}/*.csv`)).rejects.toThrow(/: no file matches this pattern/);
    await expect(loadDataset(`${folder}/no/*.csv`)).rejects.toThrow(/: no file matches this pattern/);
    await expect(loadDataset(`${folder}/no.jsonl`)).rejects.toThrow(/there is no such file or folder/);
  });

  it("is a folder, before an id of the same name", async () => {
    const folder = onDisk({
      "README.md": "---\nconfigs:\n- config_name: default\n  data_files: {train: b.jsonl}\n---\n",
      "a.jsonl": jsonl(1),
      "b.jsonl": jsonl(2),
    });
    const { hub, options } = await onHub({ "a.jsonl": jsonl(9) });
    expect(await values(await loadDataset(folder, options))).toEqual([2]);
    expect(hub.requests).toEqual([]);
  });
});

it("ShareGPT conversations are prepared as messages", async () => {
  const seen: unknown[] = [];
  const tokenizer = {
    eosToken: undefined,
    eosTokenId: undefined,
    encode: () => [1],
    applyChatTemplate: (messages: unknown) => {
      seen.push(messages);
      return [1, 2, 3];
    },
  };
  const rows = [
    {
      conversations: [
        { from: "human", value: "hi" },
        { from: "gpt", value: "hello" },
      ],
    },
  ];
  const { lengths } = await prepareSftDataset(Dataset.fromArray(rows), tokenizer as never);
  expect([...lengths]).toEqual([3]);
  expect(seen).toEqual([
    [
      { role: "human", content: "hi" },
      { role: "gpt", content: "hello" },
    ],
  ]);
});
