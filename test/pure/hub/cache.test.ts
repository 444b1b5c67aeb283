import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { isRepoId, snapshotDownload } from "../../../src/hub/index.js";
import { fakeHub, layoutOf, temporaryFolder } from "./fake_hub.js";

vi.stubEnv("HF_HUB_DISABLE_PROGRESS_BARS", "1");

interface Recorded {
  readonly commit: string;
  readonly files: Readonly<Record<string, { readonly hex: string; readonly lfs?: object }>>;
  readonly layouts: Readonly<Record<string, Readonly<Record<string, Record<string, string>>>>>;
  readonly ids: Readonly<Record<string, boolean>>;
}
const recorded = JSON.parse(
  readFileSync(new URL("../../fixtures/hub/cache.json", import.meta.url), "utf8"),
) as Recorded;
const contents = Object.fromEntries(
  Object.entries(recorded.files).map(([path, { hex }]) => [path, Buffer.from(hex, "hex")]),
);
const large = Object.keys(recorded.files).filter((path) => recorded.files[path]!.lfs !== undefined);
const id = "some-org/some.name";

/** Puts a cache onto the disk as Python left it. */
function restore(layout: Readonly<Record<string, Record<string, string>>>): string {
  const folder = temporaryFolder();
  const blobs = new Map(Object.entries(recorded.files).map(([path]) => [sha(path), contents[path]!]));
  for (const [path, entry] of Object.entries(layout)) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    if (entry["link"] !== undefined) symlinkSync(entry["link"], target);
    else writeFileSync(target, entry["text"] ?? blobs.get(path.split("/").at(-1)!)!);
  }
  return folder;
}

function sha(path: string): string {
  const layout = recorded.layouts["model"]!;
  const pointer = Object.keys(layout).find((name) => name.endsWith(`${recorded.commit}/${path}`))!;
  return layout[pointer]!["link"]!.split("/").at(-1)!;
}

/** The comment of the tag is free text. */
const comparable = (layout: Readonly<Record<string, Record<string, string>>>): object => ({
  ...layout,
  "CACHEDIR.TAG": layout["CACHEDIR.TAG"]?.["text"]?.split("\n")[0],
});

describe("the cache", () => {
  it.each([
    ["model", "model", "main"],
    ["commit", "model", recorded.commit],
  ] as const)("has the layout of huggingface_hub: %s", async (name, type, revision) => {
    const { endpoint } = await fakeHub({ files: contents, large, type });
    const cacheDir = temporaryFolder();
    const folder = await snapshotDownload(id, { endpoint, cacheDir, revision });
    expect(comparable(layoutOf(cacheDir))).toEqual(comparable(recorded.layouts[name]!));
    for (const [path, bytes] of Object.entries(contents))
      expect(readFileSync(join(folder, path)).equals(bytes)).toBe(true);
  });

  it("keeps datasets and revisions with slashes where Python does", async () => {
    const { endpoint } = await fakeHub({ files: contents, large, type: "dataset" });
    const cacheDir = temporaryFolder();
    await snapshotDownload(id, { endpoint, cacheDir, repoType: "dataset", revision: "refs/pr/1" });
    const expected = Object.entries(recorded.layouts["dataset"]!).map(([path, entry]) => [
      path.replace("refs/refs/convert/parquet", "refs/refs/pr/1"),
      entry,
    ]);
    expect(comparable(layoutOf(cacheDir))).toEqual(
      comparable(Object.fromEntries(expected) as (typeof recorded.layouts)[string]),
    );
  });

  it("reads what Python put there, without a question to anybody", async () => {
    const { endpoint, requests } = await fakeHub({ files: contents, large });
    const options = { endpoint, cacheDir: restore(recorded.layouts["model"]!), localFilesOnly: true };
    const before = layoutOf(options.cacheDir);
    const folder = await snapshotDownload(id, options);
    for (const [path, bytes] of Object.entries(contents))
      expect(readFileSync(join(folder, path)).equals(bytes)).toBe(true);
    expect(requests).toEqual([]);
    expect(layoutOf(options.cacheDir)).toEqual(before);
  });

  it("fetches only what Python left out", async () => {
    const { endpoint, asked } = await fakeHub({ files: contents, large });
    const cacheDir = restore(recorded.layouts["single"]!);
    await snapshotDownload(id, { endpoint, cacheDir });
    expect(asked("cdn")).toEqual([]);
    expect(asked("hub").sort()).toEqual(
      ["HEAD", "GET"]
        .flatMap((method) =>
          ["README.md", "empty.txt", "onnx/model.onnx", "tokenizer.json"].map((path) => `${method} ${path}`),
        )
        // An empty file need not be fetched.
        .filter((request) => request !== "GET empty.txt")
        .sort(),
    );
    expect(comparable(layoutOf(cacheDir))).toEqual(comparable(recorded.layouts["model"]!));
  });

  it("takes the same ids as huggingface_hub", () => {
    for (const [text, valid] of Object.entries(recorded.ids))
      expect([text, isRepoId(text)]).toEqual([text, valid]);
  });
});
