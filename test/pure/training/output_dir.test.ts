/** @file Output folders: what is refused, what is cleared, and folders that appear whole or not at all. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  pruneCheckpoints,
  resolveCheckpoint,
  writeFolderAtomically,
} from "../../../src/training/checkpoint.js";
import { clearOutputDir, listCheckpoints, prepareOutputDir } from "../../../src/training/output_dir.js";

let parent: string;
let folder: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "craft-output-"));
  folder = join(parent, "out");
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

const fresh = { overwrite: false, resume: false };
const overwrite = { overwrite: true, resume: false };
const put = (...names: string[]): void => {
  mkdirSync(folder, { recursive: true });
  for (const name of names) {
    if (name.endsWith("/")) mkdirSync(join(folder, name));
    else writeFileSync(join(folder, name), name);
  }
};

describe("prepareOutputDir", () => {
  it("creates the folder and those above it", () => {
    prepareOutputDir(join(folder, "a", "b"), fresh);
    expect(readdirSync(join(folder, "a", "b"))).toEqual([]);
  });

  it("refuses a path that is a file or leads through one", () => {
    writeFileSync(folder, "");
    for (const path of [folder, join(folder, "below")])
      expect(() => prepareOutputDir(path, fresh)).toThrow(
        /^output_dir = .*: cannot be written to \(.*\)\. Name another folder, or change its permissions\.$/,
      );
  });

  it.skipIf(process.platform === "win32" || process.getuid?.() === 0)("refuses a folder of others", () => {
    mkdirSync(folder, { mode: 0o555 });
    expect(() => prepareOutputDir(folder, fresh)).toThrow("cannot be written to");
    expect(() => prepareOutputDir(join(folder, "below"), fresh)).toThrow("cannot be written to");
  });

  it("refuses what is not empty, and touches nothing", () => {
    put("log.jsonl", "checkpoint-5/");
    expect(() => prepareOutputDir(folder, fresh)).toThrow(
      `output_dir = ${folder}: is not empty (checkpoint-5, log.jsonl). Resume the run in it with --resume, clear it with --overwrite, or name another folder.`,
    );
    prepareOutputDir(folder, { overwrite: false, resume: true });
    prepareOutputDir(folder, overwrite);
    expect(readdirSync(folder)).toEqual(["checkpoint-5", "log.jsonl"]);
  });

  it.each([
    "thesis.tex",
    "tsconfig.json",
    "model.py",
    "tokenizer/",
    "adapter_notes.txt",
    "checkpoint-best/",
    ".git/",
    "train.jsonl",
    "models.safetensors",
    "my.config.json",
  ])("refuses to overwrite a folder with %s", (name) => {
    put("log.jsonl", name);
    const shown = name.replace("/", "");
    expect(() => prepareOutputDir(folder, overwrite)).toThrow(
      `output_dir = ${folder}: holds files that no run writes (${shown}), and will not be cleared. Move them away or name another folder.`,
    );
    expect(() => clearOutputDir(folder, { resume: false })).toThrow("will not be cleared");
    expect(readdirSync(folder)).toContain(shown);
  });
});

describe("clearOutputDir", () => {
  const written = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "checkpoint-10/",
    "chat_template.jinja",
    "config.json",
    "craft.safetensors",
    "generation_config.json",
    "log.jsonl",
    "model-00001-of-00002.safetensors",
    "model.safetensors",
    "model.safetensors.index.json",
    "report.html",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
  ];
  const halfWritten = [
    ".checkpoint-10.4711/",
    ".checkpoint-10.4711.replaced/",
    ".checkpoint-8.4711.removed/",
    ".model.safetensors.0a1b2c3d4e5f.tmp",
  ];

  it("takes out all that a run writes when a new one begins", () => {
    put(...written, ...halfWritten);
    prepareOutputDir(folder, overwrite);
    clearOutputDir(folder, { resume: false });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("takes out only what was half-written when a run goes on", () => {
    put(...written, ...halfWritten, "notes.txt");
    clearOutputDir(folder, { resume: true });
    const kept = [...written, "notes.txt"].map((name) => name.replace("/", ""));
    expect(readdirSync(folder).sort()).toEqual(kept.sort());
  });
});

describe("listCheckpoints", () => {
  it("goes by the number, and by nothing else", () => {
    put("checkpoint-9/", "checkpoint-10/", "checkpoint-x/", "checkpoint-1.bak/", "log.jsonl");
    expect(listCheckpoints(folder).map(({ step }) => step)).toEqual([9, 10]);
    expect(listCheckpoints(join(folder, "none"))).toEqual([]);
  });

  it("is cut to a limit from the oldest, never the one just written", () => {
    put("checkpoint-2/", "checkpoint-4/", "checkpoint-6/", "checkpoint-30/");
    pruneCheckpoints(folder, undefined, join(folder, "checkpoint-6"));
    expect(listCheckpoints(folder)).toHaveLength(4);
    pruneCheckpoints(folder, 2, join(folder, "checkpoint-6"));
    expect(listCheckpoints(folder).map(({ step }) => step)).toEqual([6, 30]);
    pruneCheckpoints(folder, 1, join(folder, "checkpoint-6"));
    expect(listCheckpoints(folder).map(({ step }) => step)).toEqual([6]);
  });
});

describe("the best checkpoint", () => {
  it("stays beside the one just written, and counts for the limit", () => {
    put("checkpoint-2/", "checkpoint-4/", "checkpoint-6/", "checkpoint-8/");
    const left = (limit: number): number[] => {
      pruneCheckpoints(folder, limit, join(folder, "checkpoint-8"), join(folder, "checkpoint-2"));
      return listCheckpoints(folder).map(({ step }) => step);
    };
    expect(left(3)).toEqual([2, 6, 8]);
    expect(left(1)).toEqual([2, 8]);
  });
});

describe("resolveCheckpoint", () => {
  const state = (name: string): void => writeFileSync(join(folder, name, "run_state.json"), "{}");

  it("means the last one that can be resumed", () => {
    put("checkpoint-2/", "checkpoint-4/", ".checkpoint-6.4711/");
    state("checkpoint-2");
    expect(resolveCheckpoint(true, folder)).toBe(join(folder, "checkpoint-2"));
    expect(resolveCheckpoint(false, folder)).toBeUndefined();
  });

  it("gives a checkpoint back its name that was being replaced when the process was killed", () => {
    put("checkpoint-2/", ".checkpoint-4.4711.replaced/", ".checkpoint-2.4711.replaced/");
    state("checkpoint-2");
    state(".checkpoint-4.4711.replaced");
    expect(resolveCheckpoint(true, folder)).toBe(join(folder, "checkpoint-4"));
    expect(readdirSync(folder).sort()).toEqual([
      ".checkpoint-2.4711.replaced",
      "checkpoint-2",
      "checkpoint-4",
    ]);
  });
});

describe("writeFolderAtomically", () => {
  const path = () => join(folder, "checkpoint-3");

  it("shows the folder when it is complete", async () => {
    mkdirSync(folder);
    await writeFolderAtomically(path(), async (staged) => {
      writeFileSync(join(staged, "weights"), "new");
      expect(existsSync(path())).toBe(false);
    });
    expect(readFileSync(join(path(), "weights"), "utf8")).toBe("new");
    expect(readdirSync(folder)).toEqual(["checkpoint-3"]);
  });

  it("replaces an earlier one as a whole", async () => {
    put("checkpoint-3/");
    writeFileSync(join(path(), "old"), "");
    await writeFolderAtomically(path(), async (staged) => {
      writeFileSync(join(staged, "weights"), "new");
      expect(readdirSync(path())).toEqual(["old"]);
    });
    expect(readdirSync(path())).toEqual(["weights"]);
    expect(readdirSync(folder)).toEqual(["checkpoint-3"]);
  });

  it("leaves nothing of one that fails, and the earlier one as it was", async () => {
    put("checkpoint-3/");
    writeFileSync(join(path(), "old"), "");
    const failing = writeFolderAtomically(path(), async (staged) => {
      writeFileSync(join(staged, "weights"), "half");
      throw new Error("the disk is full");
    });
    await expect(failing).rejects.toThrow("the disk is full");
    expect(readdirSync(folder)).toEqual(["checkpoint-3"]);
    expect(readdirSync(path())).toEqual(["old"]);
  });
});
