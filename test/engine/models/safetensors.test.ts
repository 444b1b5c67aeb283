import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/models/checkpoint.js";
import {
  openSafetensors,
  writeSafetensors,
  type NamedTensor,
} from "../../../src/models/safetensors/index.js";
import { writeCheckpoint } from "../../../src/models/write_checkpoint.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import type { DType } from "../../../src/torch/dtype.js";
import { loadTorch } from "../../../src/torch/torch.js";

const fixtures = join(import.meta.dirname, "../../fixtures/models");

type Listed = Readonly<
  Record<
    string,
    { readonly dtype: DType; readonly shape: readonly number[]; readonly values: readonly number[] }
  >
>;
const listed = (name: string): Listed =>
  (JSON.parse(readFileSync(join(fixtures, `${name}.json`), "utf8")) as { readonly tensors: Listed }).tensors;

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "craft-weights-"));
  await loadTorch();
});
afterAll(() => rmSync(folder, { recursive: true }));

const at = (...names: string[]): string => join(folder, ...names);
function emptyFolder(name: string): string {
  mkdirSync(at(name));
  return at(name);
}

/** Tensors made from the fixture's numbers, for the time of `use`. */
function withTensors(tensors: Listed, use: (tensors: NamedTensor[]) => void): void {
  const made = Object.entries(tensors).map(([name, { dtype, shape, values }]): NamedTensor => [
    name,
    DeviceTensor.fromHost(values, shape, dtype),
  ]);
  try {
    use(made);
  } finally {
    for (const [, tensor] of made) tensor.dispose();
  }
}

function describeTensor(tensor: DeviceTensor): Listed[string] {
  try {
    return { dtype: tensor.dtype, shape: tensor.shape, values: tensor.toNumbers() };
  } finally {
    tensor.dispose();
  }
}

describe("safetensors files", () => {
  it("of Python are read exactly, in every dtype", () => {
    const live = liveTensors();
    const file = openSafetensors(join(fixtures, "mixed.safetensors"));
    const found = [...file.tensors.keys()].map((name) => [name, describeTensor(file.read(name))] as const);
    file.close();
    expect(Object.fromEntries(found)).toEqual(listed("mixed"));
    expect(liveTensors()).toBe(live);
  });

  it("are written byte for byte as Python writes them, whatever the order", () => {
    const expected = readFileSync(join(fixtures, "mixed.safetensors"));
    withTensors(listed("mixed"), (tensors) => {
      for (const order of [tensors, tensors.toReversed()]) {
        writeSafetensors(at("mixed.safetensors"), order, { metadata: { format: "pt" } });
        expect(readFileSync(at("mixed.safetensors")).equals(expected)).toBe(true);
      }
    });
    writeSafetensors(at("empty.safetensors"), []);
    expect(readFileSync(at("empty.safetensors"))).toEqual(readFileSync(join(fixtures, "empty.safetensors")));
  });

  it("are converted while they are read and written", () => {
    const live = liveTensors();
    // 1 + 2^-8 lies halfway between two bfloat16 numbers and goes to the even one, 1; 1 + 3 * 2^-8 goes to 1 + 2^-6.
    const values = {
      x: { dtype: "float32", shape: [2, 2], values: [1 + 2 ** -8, 1 + 3 * 2 ** -8, -3, 1e30] },
    } as const;
    const ids = { ids: { dtype: "int64", shape: [1], values: [7] } } as const;
    const rounded = [1, 1 + 2 ** -6, -3, 1.0002555e30];
    withTensors({ ...values, ...ids }, (tensors) => {
      writeSafetensors(at("wide.safetensors"), tensors);
      writeSafetensors(at("narrow.safetensors"), tensors, { dtype: "bfloat16" });
      expect(() => writeSafetensors(at("x"), tensors, { dtype: "int8" })).toThrow("is not a dtype of floats");
    });
    const wide = openSafetensors(at("wide.safetensors"));
    const narrow = openSafetensors(at("narrow.safetensors"));
    const results = [
      wide.read("x", { dtype: "bfloat16" }),
      narrow.read("x"),
      narrow.read("x", { dtype: "float64" }),
    ].map(describeTensor);
    expect(results.map(({ dtype }) => dtype)).toEqual(["bfloat16", "bfloat16", "float64"]);
    for (const { values: found } of results) {
      expect(found.slice(0, 3)).toEqual(rounded.slice(0, 3));
      expect(found[3]! / rounded[3]!).toBeCloseTo(1, 6);
    }
    expect(describeTensor(narrow.read("ids"))).toEqual(ids.ids);
    wide.close();
    narrow.close();
    expect(liveTensors()).toBe(live);
  });

  it("are converted whole, however large", () => {
    const count = 100_003;
    const numbers = Float32Array.from({ length: count }, (_, i) => (i % 509) - 254.5);
    const tensor = DeviceTensor.fromHost(numbers, [count], "float32");
    writeSafetensors(at("long.safetensors"), [["x", tensor]], { dtype: "float16" });
    tensor.dispose();
    const file = openSafetensors(at("long.safetensors"));
    const halves = readFileSync(at("long.safetensors")).subarray(file.entry("x").begin);
    // 254.5 is 0x5bf4 in float16, with the sign 0xdbf4; 253.5 is 0x5bec.
    expect([halves.readUInt16LE(0), halves.readUInt16LE(2), halves.length]).toEqual([
      0xdbf4,
      0xdbec,
      2 * count,
    ]);
    const read = file.read("x", { dtype: "float32" });
    expect(read.toTypedArray()).toEqual(numbers);
    read.dispose();
    file.close();
  });

  it("take no more memory than their tensors while they are converted", () => {
    const one = DeviceTensor.full([1_000_000], 1, "bfloat16");
    writeSafetensors(
      at("many.safetensors"),
      Array.from({ length: 72 }, (_, i): NamedTensor => [`t${i}`, one]),
    );
    one.dispose();
    const file = openSafetensors(at("many.safetensors"));
    const before = process.memoryUsage().rss;
    const tensors = [...file.tensors.keys()].map((name) => file.read(name, { dtype: "float32" }));
    // Buffers of the size of the tensors, left as holes in the heap, would make it 1.5.
    expect((process.memoryUsage().rss - before) / (72 * 4_000_000)).toBeLessThan(1.3);
    for (const tensor of tensors) tensor.dispose();
    file.close();
    rmSync(at("many.safetensors"));
  });

  it("that shrink while they are open are noticed, and nothing leaks", () => {
    copyFileSync(join(fixtures, "mixed.safetensors"), at("shrinking.safetensors"));
    const file = openSafetensors(at("shrinking.safetensors"));
    truncateSync(at("shrinking.safetensors"), 1000);
    const live = liveTensors();
    expect(() => [...file.tensors.keys()].map((name) => file.read(name).dispose())).toThrow(
      `${at("shrinking.safetensors")}: has become shorter since it was opened: it ends at byte 1000.`,
    );
    expect(liveTensors()).toBe(live);
    file.close();
  });

  it("stay as they were if writing fails", () => {
    const target = emptyFolder("failing");
    withTensors(listed("mixed"), (tensors) => {
      writeSafetensors(join(target, "x"), tensors);
      const before = readFileSync(join(target, "x"));
      const disposed = DeviceTensor.full([2], 1);
      disposed.dispose();
      expect(() => writeSafetensors(join(target, "x"), [...tensors, ["late", disposed]])).toThrow(
        "was disposed of",
      );
      expect(() => writeSafetensors(join(target, "x"), [...tensors, tensors[0]!])).toThrow(
        `${join(target, "x")} = ${tensors[0]![0]}: two tensors have this name.`,
      );
      expect(() => writeSafetensors(join(target, "x"), [["__metadata__", tensors[0]![1]]])).toThrow(
        "is a reserved name",
      );
      expect(() => writeSafetensors(join(target, "nowhere", "x"), tensors)).toThrow(
        "cannot write: there is no such file or folder",
      );
      expect(readdirSync(target)).toEqual(["x"]);
      expect(readFileSync(join(target, "x")).equals(before)).toBe(true);
    });
  });
});

describe("checkpoints", () => {
  it.each(["single", "sharded"])("of transformers are read exactly: %s", (name) => {
    const live = liveTensors();
    const checkpoint = openCheckpoint(join(fixtures, name));
    const expected = listed("model");
    expect(checkpoint.names.toSorted()).toEqual(Object.keys(expected).sort());
    for (const [tensor, entry] of Object.entries(expected)) {
      expect(checkpoint.shape(tensor)).toEqual(entry.shape);
      expect(describeTensor(checkpoint.read(tensor))).toEqual(entry);
    }
    expect(() => checkpoint.read("lm_head.bias")).toThrow(
      `${join(fixtures, name)} = lm_head.bias: has no tensor of this name.`,
    );
    checkpoint.close();
    expect(liveTensors()).toBe(live);
  });

  it.each([
    ["single", 5e9],
    ["sharded", 800],
  ])("are written byte for byte as transformers writes them: %s", (name, maxShardBytes) => {
    const target = at("written", name);
    withTensors(listed("model"), (tensors) => writeCheckpoint(target, tensors, { maxShardBytes }));
    const weights = readdirSync(join(fixtures, name)).filter((file) => file.startsWith("model"));
    expect(readdirSync(target).sort()).toEqual(weights.sort());
    for (const file of weights)
      expect([
        file,
        readFileSync(join(target, file)).equals(readFileSync(join(fixtures, name, file))),
      ]).toEqual([file, true]);
  });

  it("replace those in the folder, and nothing else", () => {
    const target = emptyFolder("replaced");
    writeFileSync(join(target, "notes.safetensors"), "");
    const names = (): string[] => readdirSync(target).sort();
    const first = (): number[] => {
      const checkpoint = openCheckpoint(target);
      const { values } = describeTensor(checkpoint.read("a"));
      checkpoint.close();
      return [...values];
    };
    const write = (value: number, maxShardBytes: number): void =>
      withTensors(
        Object.fromEntries(
          ["a", "b", "c"].map((name) => [name, { dtype: "float32", shape: [2], values: [value, value] }]),
        ),
        (tensors) => writeCheckpoint(target, tensors, { maxShardBytes }),
      );
    const shards = (count: number): string[] =>
      Array.from({ length: count }, (_, i) => `model-0000${i + 1}-of-0000${count}.safetensors`);
    write(1, 100);
    expect([names(), first()]).toEqual([
      ["model.safetensors", "notes.safetensors"],
      [1, 1],
    ]);
    write(2, 8);
    expect(names()).toEqual([...shards(3), "model.safetensors.index.json", "notes.safetensors"]);
    expect(first()).toEqual([2, 2]);
    write(3, 8);
    expect(first()).toEqual([3, 3]);
    write(4, 16);
    expect(names()).toEqual([...shards(2), "model.safetensors.index.json", "notes.safetensors"]);
    expect(first()).toEqual([4, 4]);
    write(5, 100);
    expect([names(), first()]).toEqual([
      ["model.safetensors", "notes.safetensors"],
      [5, 5],
    ]);
  });

  it("stay if writing fails", () => {
    const target = emptyFolder("kept");
    const good = DeviceTensor.full([2], 1);
    const gone = DeviceTensor.full([2], 1);
    gone.dispose();
    writeCheckpoint(target, [["a", good]]);
    const before = readFileSync(join(target, "model.safetensors"));
    const tensors: NamedTensor[] = [
      ["a", good],
      ["b", gone],
    ];
    expect(() => writeCheckpoint(target, tensors, { maxShardBytes: 8 })).toThrow("was disposed of");
    expect(() => writeCheckpoint(target, [tensors[0]!, tensors[0]!], { maxShardBytes: 8 })).toThrow(
      `${target} = a: two tensors have this name.`,
    );
    expect(() => writeCheckpoint(target, [], { maxShardBytes: 0 })).toThrow("maxShardBytes = 0");
    expect(readdirSync(target)).toEqual(["model.safetensors"]);
    expect(readFileSync(join(target, "model.safetensors")).equals(before)).toBe(true);
    good.dispose();
  });

  it("that are broken are refused with file and tensor", () => {
    const index = "model.safetensors.index.json";
    const target = emptyFolder("broken");
    const complaint = (): string => {
      try {
        openCheckpoint(target).close();
        return "";
      } catch (error) {
        return String(error).replaceAll(target, "DIR");
      }
    };
    const nothing =
      "CraftError: model folder = DIR: has neither model.safetensors nor model.safetensors.index.json";
    expect(complaint()).toBe(`${nothing}. Download the model's safetensors files.`);
    writeFileSync(join(target, "consolidated.safetensors"), "");
    expect(complaint()).toBe(
      `${nothing}. It does have consolidated.safetensors; rename it if it holds the model's weights.`,
    );
    writeFileSync(join(target, "pytorch_model.bin"), "");
    expect(complaint()).toBe(
      `${nothing}; pytorch_model.bin is in a format that is not read. Save the model in Python with model.save_pretrained(DIR), which writes safetensors.`,
    );
    for (const file of readdirSync(join(fixtures, "sharded")))
      copyFileSync(join(fixtures, "sharded", file), join(target, file));
    expect(complaint()).toBe("");

    const shard = (i: number): string => `model-0000${i}-of-00005.safetensors`;
    rmSync(join(target, shard(5)));
    expect(complaint()).toBe(
      `CraftError: DIR/${shard(5)}: does not exist, and ${index} names it (for lm_head.weight). Download the file.`,
    );
    copyFileSync(join(target, shard(4)), join(target, shard(5)));
    expect(complaint()).toBe(
      `CraftError: DIR/${shard(5)} = lm_head.weight: lacks this tensor, which ${index} says it has. Download or save the model again.`,
    );
    const map: Record<string, string> = {};
    for (let i = 1; i <= 5; i++) {
      const file = openSafetensors(join(target, shard(i)));
      for (const name of [...file.tensors.keys()].slice(0, i === 5 ? 1 : undefined)) map[name] = shard(i);
      file.close();
    }
    writeFileSync(join(target, index), JSON.stringify({ weight_map: map }));
    expect(complaint()).toMatch(
      /^CraftError: DIR\/model-00005-of-00005.safetensors = model\.\S+: has a tensor that model-00004-of-00005.safetensors has too\. Download/,
    );
    truncateSync(join(target, shard(2)), 700);
    expect(complaint()).toMatch(
      /^CraftError: DIR\/model-00002-of-00005.safetensors, tensor model\.\S+: the file is cut short: the tensor ends at byte \d+, and the file has 700\./,
    );
    for (const bad of ["../model.safetensors", "weights.bin", ""]) {
      writeFileSync(join(target, index), JSON.stringify({ weight_map: { a: bad } }));
      expect(complaint()).toContain("must be the name of a safetensors file in the same folder.");
    }
    writeFileSync(join(target, index), "{}");
    expect(complaint()).toBe(
      `CraftError: DIR/${index}, weight_map: is missing or empty. Download or save the model again.`,
    );
    writeFileSync(join(target, index), "{");
    expect(complaint()).toContain(`DIR/${index}: is not valid JSON (`);
  });
});
