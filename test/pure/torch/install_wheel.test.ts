import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { requiredLibraries } from "../../../src/torch/library_files.js";
import { openWheel } from "../../../src/torch/wheel.js";
import { fakeWheel, sha256, temporaryFolder, zip, type FakeWheel } from "./install_fakes.js";

function wheelFile(wheel: FakeWheel = {}): string {
  const file = join(temporaryFolder(), "torch.whl");
  writeFileSync(file, fakeWheel(wheel));
  return file;
}

const [c10 = "", torchCpu = ""] = requiredLibraries();

it("a wheel tells its version, tags and libraries, and unpacks only those", async () => {
  const file = wheelFile({ version: "2.12.0+cpu", tag: "cp311-cp311-manylinux_2_28_x86_64" });
  const wheel = await openWheel(file);
  expect(wheel).toMatchObject({
    version: "2.12.0+cpu",
    device: "cpu",
    tags: ["cp311-cp311-manylinux_2_28_x86_64"],
  });
  const text = `not really ${torchCpu}\n`.repeat(500);
  expect(wheel.files.map(({ path }) => path).sort()).toEqual(
    [`torch/lib/${c10}`, `torch/lib/${torchCpu}`].sort(),
  );
  expect(wheel.files).toContainEqual({
    path: `torch/lib/${torchCpu}`,
    size: text.length,
    sha256: sha256(text).toString("hex"),
  });

  const target = temporaryFolder();
  const progress: number[] = [];
  await wheel.unpack(target, (bytes) => progress.push(bytes));
  wheel.close();
  expect(readFileSync(join(target, "torch", "lib", torchCpu), "utf8")).toBe(text);
  expect(progress.at(-1)).toBe(wheel.files.reduce((sum, { size }) => sum + size, 0));
  expect(existsSync(join(target, "torch", "version.py"))).toBe(false);
});

it("a wheel with libtorch_cuda is a CUDA build", async () => {
  const cuda = `torch/lib/${c10.replace("c10", "torch_cuda")}`;
  const wheel = await openWheel(wheelFile({ entries: { [cuda]: "x" } }));
  expect(wheel.device).toBe("cuda");
  wheel.close();
});

it.each([0, 10, 0.3, 0.9, 0.999])("an archive cut to %d of its length is refused by name", async (length) => {
  const file = join(temporaryFolder(), "torch.whl");
  const whole = fakeWheel();
  writeFileSync(file, whole.subarray(0, length < 1 ? Math.floor(whole.length * length) : length));
  await expect(openWheel(file)).rejects.toThrow(`wheel = ${file}: cannot be read as a zip archive`);
});

it("an archive that is no wheel of torch is refused", async () => {
  const file = join(temporaryFolder(), "other.whl");
  writeFileSync(file, zip({ "other-1.0.dist-info/METADATA": "Version: 1.0\n" }));
  await expect(openWheel(file)).rejects.toThrow(/is not a wheel of torch/);
});

const swapDigest = (record: string): string =>
  record.replace(/(torch_cpu\S*sha256=)./, (_all, start: string) => `${start}-`);

it.each<[string, (record: string) => string, RegExp]>([
  ["another hash", swapDigest, /torch_cpu\S* is damaged: its sha256 is \w+, the RECORD says \w+/],
  [
    "a smaller size",
    (record) => record.replace(/(torch_cpu\S*),\d+/, "$1,77"),
    /is larger than the 77 bytes of the RECORD/,
  ],
  [
    "a larger size",
    (record) => record.replace(/(torch_cpu\S*),\d+/, "$1,99999999"),
    /the RECORD says 99999999/,
  ],
])("a library for which RECORD promises %s is refused", async (_name, record, reason) => {
  const wheel = await openWheel(wheelFile({ record }));
  await expect(wheel.unpack(temporaryFolder())).rejects.toThrow(reason);
  wheel.close();
});

it("a library that RECORD does not list is refused before anything is written", async () => {
  const record = (text: string): string => text.replace(/.*torch_cpu.*\n/, "");
  await expect(openWheel(wheelFile({ record }))).rejects.toThrow(
    /its RECORD has no sha256 for torch\/lib\/\S*torch_cpu/,
  );
});

it("a flipped bit in the compressed data is found", async () => {
  const file = join(temporaryFolder(), "torch.whl");
  const bytes = fakeWheel();
  // The first entry is c10: 30 bytes of header, the name, then the data.
  const data = 30 + `torch/lib/${c10}`.length;
  bytes.writeUInt8(bytes.readUInt8(data + 12) ^ 0x10, data + 12);
  writeFileSync(file, bytes);
  const wheel = await openWheel(file);
  await expect(wheel.unpack(temporaryFolder())).rejects.toThrow(/c10\S* is damaged/);
  wheel.close();
});

it("what stops the writing of a large library is told, and not that it was stopped", async () => {
  // A linear congruential generator, for text that does not compress away.
  let state = 1;
  const text = Array.from({ length: 600_000 }, () =>
    (state = (state * 48271) % 2147483647).toString(36),
  ).join("");
  const record = (lines: string): string => lines.replace(/(torch_cpu\S*),\d+/, "$1,77");
  const wheel = await openWheel(wheelFile({ entries: { [`torch/lib/${torchCpu}`]: text }, record }));
  await expect(wheel.unpack(temporaryFolder())).rejects.toThrow(/is larger than the 77 bytes of the RECORD/);
  wheel.close();
});
