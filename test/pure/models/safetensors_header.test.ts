import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import { openSafetensors } from "../../../src/models/safetensors/index.js";

interface Case {
  readonly file: string;
  readonly accepted: boolean;
}
const fixtures = join(import.meta.dirname, "../../fixtures/models");
const { cases } = JSON.parse(readFileSync(join(fixtures, "verdicts.json"), "utf8")) as {
  readonly cases: Readonly<Record<string, Case>>;
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-safetensors-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The message about a file with this content, with `FILE` for its path; undefined if it is accepted. */
function complaint(content: Uint8Array | string): string | undefined {
  const path = join(folder, "case.safetensors");
  writeFileSync(path, content);
  try {
    openSafetensors(path).close();
    return undefined;
  } catch (error) {
    if (!(error instanceof CraftError)) throw error;
    return error.message.replaceAll(path, "FILE");
  }
}
const of = (name: string): string | undefined => complaint(Buffer.from(cases[name]!.file, "base64"));

describe("headers of safetensors files", () => {
  it("are accepted where Python's library accepts them, and only there", () => {
    for (const [name, { accepted }] of Object.entries(cases))
      expect([name, of(name) === undefined]).toEqual([name, accepted]);
  });

  it("tell where each tensor lies", () => {
    const path = join(folder, "case.safetensors");
    writeFileSync(path, Buffer.from(cases["entries out of order"]!.file, "base64"));
    const file = openSafetensors(path);
    const start = readFileSync(path).length - 16;
    expect([...file.tensors]).toEqual([
      ["a", { dtype: "float32", shape: [2], begin: start, end: start + 8 }],
      ["b", { dtype: "float32", shape: [2], begin: start + 8, end: start + 16 }],
    ]);
    file.close();
  });

  it("are refused with file, tensor, what was found and what was expected", () => {
    const again = "Download or copy the file again.";
    const expected: Record<string, string> = {
      "an empty file": "FILE: is cut short: it has 0 bytes, and a safetensors file at least 8.",
      "cut in the header": "FILE: is cut short: its header has 108 bytes, and 32 follow.",
      "cut in the data":
        "FILE, tensor b: the file is cut short: the tensor ends at byte 132, and the file has 129.",
      "too long": "FILE: has 4 bytes that belong to no tensor: tensor b ends at byte 132.",
      "length beyond the file": "FILE: is cut short: its header has 5000 bytes, and 124 follow.",
      "huge length":
        "FILE: its first 8 bytes announce a header of 9223372036854775808 bytes, and at most 100000000 are allowed.",
      overlap:
        "FILE, tensor b: overlaps with the bytes before it: it starts at byte 120, and tensor a ends at byte 124.",
      gap: "FILE, tensor b: leaves a gap: it starts at byte 129, and tensor a ends at byte 125.",
      "shape larger than its bytes":
        "FILE, tensor a, data_offsets = [0,8]: span 8 bytes, and F32 [3] has 12.",
      "negative size": "FILE, tensor a, shape = [-2]: must be a list of integers from 0 on.",
      "offsets descending": "FILE, tensor a, data_offsets = [8,0]: must be two ascending positions.",
      "unknown dtype": "FILE, tensor a, dtype = Q32: is not a dtype of the format.",
      "metadata not texts": 'FILE, __metadata__ = {"step":3}: must map texts to texts.',
      "entry not an object": "FILE, tensor a = 3: must have dtype, shape and data_offsets.",
    };
    for (const [name, message] of Object.entries(expected)) {
      const found = of(name)!;
      expect([name, found.slice(0, message.length)]).toEqual([name, message]);
      expect(found.slice(message.length)).toMatch(new RegExp(`^ ${again.slice(0, -1)}`));
    }
    expect(of("header not JSON")).toMatch(
      /^FILE: its header is not JSON \(.*\)\. Download or copy the file again, and check that it is a safetensors file\.$/,
    );
  });

  it("of other dtypes are refused by name", () => {
    const header = '{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}';
    const content = Buffer.concat([
      Buffer.from([header.length, 0, 0, 0, 0, 0, 0, 0]),
      Buffer.from(header),
      Buffer.alloc(2),
    ]);
    expect(complaint(content)).toBe(
      "FILE, tensor a, dtype = F8_E4M3: is not supported. Supported are F32, F64, F16, BF16, I64, I32, I8, U8, BOOL; use the model's unquantised weights.",
    );
  });

  it("are not looked for in a Git LFS pointer", () => {
    expect(complaint("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")).toBe(
      "FILE: is a Git LFS pointer, not the weights. Run git lfs pull in its folder, or download it.",
    );
  });

  it("of files that cannot be read", () => {
    const nowhere = join(folder, "nowhere.safetensors");
    expect(() => openSafetensors(nowhere)).toThrow(
      `${nowhere}: cannot read: there is no such file or folder. Check the path.`,
    );
    expect(() => openSafetensors(folder)).toThrow(`${folder}: cannot read: is a folder, not a file.`);
  });

  it("are those of the file at the time", () => {
    const path = join(folder, "case.safetensors");
    writeFileSync(path, readFileSync(join(fixtures, "mixed.safetensors")));
    const file = openSafetensors(path);
    expect(file.metadata).toEqual({ format: "pt" });
    expect(() => file.entry("nothing")).toThrow(`${path} = nothing: has no tensor of this name.`);
    truncateSync(path, 0);
    file.close();
    expect(() => file.read("int8")).toThrow(`${path}: was closed.`);
  });
});
