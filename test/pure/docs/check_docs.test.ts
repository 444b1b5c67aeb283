/** @file The documentation check finds what it is there to find. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { anchorOf, readDocument } from "../../../scripts/docs/markdown.js";
import { checkExcerpt, checkReferences } from "../../../scripts/docs/references.js";

const fence = "```";
const read = (...lines: readonly string[]) => readDocument("page.md", lines.join("\n"));

describe("readDocument", () => {
  it("finds blocks with language, line and marker, past blank lines", () => {
    const { blocks } = read(
      "# Title",
      `${fence}ts`,
      "const a = 1;",
      fence,
      "<!-- file: data/rows.jsonl -->",
      "",
      `${fence}json`,
      '{"a": 1}',
      '{"a": 2}',
      fence,
      "<!-- run -->",
      `${fence}bash`,
      "ls",
      fence,
    );
    expect(blocks).toEqual([
      { file: "page.md", line: 3, language: "ts", code: "const a = 1;\n", marker: undefined },
      {
        file: "page.md",
        line: 8,
        language: "json",
        code: '{"a": 1}\n{"a": 2}\n',
        marker: { kind: "file", path: "data/rows.jsonl" },
      },
      { file: "page.md", line: 13, language: "bash", code: "ls\n", marker: { kind: "run" } },
    ]);
  });

  it("ties a marker to the block that follows and to no later one", () => {
    const { blocks } = read("<!-- run -->", "text between", `${fence}bash`, "ls", fence);
    expect(blocks[0]!.marker).toBeUndefined();
  });

  it("takes the indentation of a list off the code, and keeps fences inside longer ones", () => {
    const { blocks } = read("- item", `  ${fence}ts`, "  if (a) {", "    b();", "  }", `  ${fence}`);
    expect(blocks[0]!.code).toBe("if (a) {\n  b();\n}\n");
    const nested = read("````md", `${fence}ts`, "x", fence, "````");
    expect(nested.blocks.map(({ language }) => language)).toEqual(["md"]);
  });

  it("refuses a block without an end and a marker that it does not know", () => {
    expect(() => read("text", `${fence}ts`, "const a = 1;")).toThrow("page.md:2: the code block has no end");
    expect(() => read("<!-- rum -->", `${fence}bash`, "ls", fence)).toThrow(
      'page.md:2: the comment before this block, "rum"',
    );
  });

  it("reads links outside code, paths in backticks, and headings as anchors", () => {
    const document = read(
      "## What works, and what does not",
      "See [a](b.md#c), `src/index.ts` and `[x](y.md)`.",
      "![i](i.png)",
    );
    expect(document.links).toEqual([
      { line: 2, text: "b.md#c" },
      { line: 3, text: "i.png" },
    ]);
    expect(document.spans.map(({ text }) => text)).toEqual(["src/index.ts", "[x](y.md)"]);
    expect(document.anchors).toEqual(["what-works-and-what-does-not"]);
    expect(anchorOf("`compile` & Naïve_Größe 2")).toBe("compile--naïve_größe-2");
  });
});

describe("references", () => {
  let root: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "craft-references-"));
    mkdirSync(join(root, "docs"));
    mkdirSync(join(root, "src"));
    writeFileSync(join(root, "package.json"), '{ "scripts": { "demo": "" } }');
    writeFileSync(join(root, "docs/page.md"), "# One\n\n## Two words\n");
    writeFileSync(join(root, "src/a.ts"), "export const a = 1;\n  const b = 2;\nexport const c = 3;\n");
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const check = (text: string, file = "README.md"): number => checkReferences(readDocument(file, text), root);

  it("counts what exists", () => {
    const text =
      "# Top\n[a](docs/page.md#two-words) [b](#top) [c](https://example.org) `src/a.ts` `npm run demo`";
    expect(check(text)).toBe(5);
    expect(check("[up](../src/a.ts)", "docs/page.md")).toBe(1);
  });

  it.each([
    ["[a](docs/none.md)", "README.md:1: the linked file docs/none.md does not exist"],
    ["\n[a](docs/page.md#three)", 'README.md:2: docs/page.md has no heading "#three"'],
    ["[a](#nowhere)", 'README.md:1: README.md has no heading "#nowhere"'],
    ["[a](../../etc/hosts)", "README.md:1: ../../etc/hosts leads out of the project"],
    ["`src/b.ts`", "README.md:1: src/b.ts does not exist"],
    ["`npm run deploy`", 'README.md:1: package.json has no script "deploy"'],
    [`${fence}bash\nnpm run deploy\n${fence}`, 'README.md:2: package.json has no script "deploy"'],
  ])("finds %j", (text, message) => {
    expect(() => check(text)).toThrow(message);
  });

  it("compares excerpts line by line, with gaps where they say so", () => {
    checkExcerpt("page.md", 5, "export const a = 1;\n// …\nexport const c = 3;\n", "src/a.ts", root);
    expect(() =>
      checkExcerpt("page.md", 5, "export const a = 1;\nexport const c = 3;\n", "src/a.ts", root),
    ).toThrow('page.md:6: "export const c = 3;" does not stand in src/a.ts at this place');
  });
});
