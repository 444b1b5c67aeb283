/** @file Folders, wheels and programs that stand in for real ones, so that no test needs libtorch or a network. */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { onTestFinished } from "vitest";
import { requiredLibraries } from "../../../src/torch/library_files.js";
import { MANIFEST } from "../../../src/torch/inspect.js";
import { wheelTarget } from "../../../src/torch/wheel_names.js";

/** A folder that is removed when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "craft-torch-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export type EmptyEnvironment = { PATH: string; HOME: string; CRAFT_CACHE: string };

/** An environment in which nothing is found but what a test puts there. */
export function emptyEnvironment(folder: string): EmptyEnvironment {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  return { PATH: bin, HOME: folder, CRAFT_CACHE: join(folder, "cache") };
}

/** Puts a shell script on the PATH of `emptyEnvironment`. */
export function addProgram(env: EmptyEnvironment, name: string, script: string): void {
  const file = join(env.PATH, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

export function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** A Python package of torch in `folder/torch`, with files that are no real libraries. */
export function addTorchPackage(folder: string, version: string): string {
  for (const name of requiredLibraries()) write(join(folder, "torch", "lib", name), `not really ${name}`);
  write(
    join(folder, "torch", "version.py"),
    `debug = False\n__version__ = '${version}'\ncuda: Optional[str] = None\n`,
  );
  return join(folder, "torch");
}

/** What `craft install` would leave in the cache for a version. */
export function addInstalled(cache: string, version: string, change: Record<string, unknown> = {}): string {
  const folder = join(cache, `libtorch-${version}-cpu`);
  const files = requiredLibraries().map((name) => {
    const text = `not really ${name}`;
    write(join(folder, "torch", "lib", name), text);
    return { path: `torch/lib/${name}`, size: text.length, sha256: sha256(text).toString("hex") };
  });
  const { platform, arch } = process;
  const manifest = {
    version,
    device: "cpu",
    platform,
    arch,
    source: "test",
    libDir: "torch/lib",
    files,
    ...change,
  };
  write(join(folder, MANIFEST), JSON.stringify(manifest));
  return folder;
}

export const sha256 = (data: string | Buffer): Buffer => createHash("sha256").update(data).digest();

export interface FakeWheel {
  readonly version?: string;
  readonly tag?: string;
  /** Further entries, or entries to replace. */
  readonly entries?: Record<string, string>;
  /** Changes the text of RECORD, to make it lie. */
  readonly record?: (text: string) => string;
}

/** The tag that a wheel for this machine has. */
export const hostTag = (): string => `cp311-cp311-${wheelTarget("2.12.0").platformTags[0] ?? ""}`;

/** The bytes of a wheel of torch whose libraries are short texts. */
export function fakeWheel({
  version = "2.12.0+cpu",
  tag = hostTag(),
  entries = {},
  record,
}: FakeWheel = {}): Buffer {
  const info = `torch-${version}.dist-info`;
  const contents: Record<string, string> = {
    ...Object.fromEntries(
      requiredLibraries().map((name) => [`torch/lib/${name}`, `not really ${name}\n`.repeat(500)]),
    ),
    "torch/lib/libtorch_python.so": "not wanted",
    "torch/version.py": `__version__ = '${version}'\n`,
    [`${info}/METADATA`]: `Metadata-Version: 2.4\nName: torch\nVersion: ${version}\n`,
    [`${info}/WHEEL`]: `Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: ${tag}\n`,
    ...entries,
  };
  const lines = Object.entries(contents).map(
    ([name, text]) => `${name},sha256=${sha256(text).toString("base64url")},${Buffer.byteLength(text)}`,
  );
  const text = `${lines.join("\n")}\n${info}/RECORD,,\n`;
  return zip({ ...contents, [`${info}/RECORD`]: record?.(text) ?? text });
}

/** A zip archive as APPNOTE.TXT describes it: local headers with data, the central directory, its end. */
export function zip(contents: Record<string, string>): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, text] of Object.entries(contents)) {
    const raw = Buffer.from(text);
    const data = deflateRawSync(raw);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(raw), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(raw.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    const body = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name), data]);
    directory.push(
      Buffer.concat([Buffer.from("PK\x01\x02\x14\x00", "latin1"), common, tail, Buffer.from(name)]),
    );
    bodies.push(body);
    offset += body.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...bodies, central, end]);
}
