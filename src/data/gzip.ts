/** @file Texts that may be compressed, as streams of bytes and of lines. */
import { createReadStream, type ReadStream } from "node:fs";
import { createGunzip, type Gunzip } from "node:zlib";
import { CraftError } from "../errors.js";

/** The bytes of a file, unpacked if its name ends in `.gz`. Errors name the file. */
export async function* fileBytes(path: string): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: 1 << 18 });
  const unpacked = path.toLowerCase().endsWith(".gz") ? gunzipped(file) : file;
  try {
    const chunks: AsyncIterable<Buffer> = unpacked;
    yield* chunks;
  } catch (cause) {
    throw fileFault(path, cause);
  } finally {
    file.destroy();
    unpacked.destroy();
  }
}

function gunzipped(file: ReadStream): Gunzip {
  const unpacked = createGunzip();
  file.on("error", (error) => unpacked.destroy(error));
  return file.pipe(unpacked);
}

/** All bytes of a file, unpacked. */
export async function wholeFile(path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of fileBytes(path)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The lines of a file with their numbers, counted from 1. Blank lines at the end are left out. */
export async function* fileLines(
  path: string,
): AsyncGenerator<{ readonly bytes: Buffer; readonly line: number }> {
  let rest: Buffer = Buffer.alloc(0);
  let line = 0;
  let blank: number | undefined;
  function* complete(lines: readonly Buffer[]): Generator<{ bytes: Buffer; line: number }> {
    for (const bytes of lines) {
      line += 1;
      if (bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)) {
        blank ??= line;
        continue;
      }
      if (blank !== undefined)
        throw new CraftError({
          subject: `${path}, line ${blank}`,
          reason: "the line is empty",
          remedy: "Remove it",
        });
      yield { bytes, line };
    }
  }
  let first = true;
  for await (const chunk of fileBytes(path)) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (first && rest.length < 3) continue;
    if (first && rest.subarray(0, 3).equals(Buffer.from([0xef, 0xbb, 0xbf]))) rest = rest.subarray(3);
    first = false;
    const lines: Buffer[] = [];
    let from = 0;
    for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a, from)) {
      lines.push(rest.subarray(from, end));
      from = end + 1;
    }
    rest = rest.subarray(from);
    yield* complete(lines);
  }
  if (rest.length > 0) yield* complete([rest]);
}

function fileFault(path: string, cause: unknown): CraftError {
  if (cause instanceof CraftError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (!/^Z_/.test(code))
    return new CraftError({ subject: path, reason: `cannot be read (${message})`, cause });
  return new CraftError({
    subject: path,
    reason: code === "Z_BUF_ERROR" ? "the gzip file is cut short" : `is not a sound gzip file (${message})`,
    remedy: "Copy or fetch the file anew",
    cause,
  });
}
