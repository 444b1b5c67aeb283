import { createHash } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createInflateRaw } from "node:zlib";
import yauzl from "yauzl";
import { CraftError } from "../errors.js";
import { isSystemError } from "../transfer.js";
import type { ManifestFile } from "./inspect.js";
import { cudaLibrary, isWantedEntry, type LibraryDevice } from "./library_files.js";

/** A Python wheel of torch, opened for reading. */
export interface Wheel {
  readonly path: string;
  readonly version: string;
  readonly device: LibraryDevice;
  /** Compatibility tags, such as `cp311-cp311-manylinux_2_28_x86_64`. */
  readonly tags: readonly string[];
  /** The libraries in it that are wanted, with the sizes and hashes that the wheel's RECORD promises. */
  readonly files: readonly ManifestFile[];
  /**
   * Writes the wanted libraries below `target`, checking each against its promised size and hash while writing.
   * Everything is on disk when this returns. `onBytes` is told how many bytes were written in all.
   */
  readonly unpack: (target: string, onBytes?: (bytes: number) => void) => Promise<void>;
  readonly close: () => void;
}

/**
 * Opens a wheel of torch and reads what it promises.
 *
 * @throws CraftError when the file is no zip archive, is cut short, or is not a wheel of torch.
 */
export async function openWheel(path: string, platform: NodeJS.Platform = process.platform): Promise<Wheel> {
  const bad = (reason: string, cause?: unknown): CraftError =>
    new CraftError({
      subject: "wheel",
      value: path,
      reason,
      remedy: "Delete the file and fetch it again, or give another one.",
      ...(cause === undefined ? {} : { cause }),
    });
  const entries = new Map<string, yauzl.Entry>();
  let zip: yauzl.ZipFile;
  try {
    zip = await yauzl.openPromise(path, { autoClose: false, lazyEntries: true, validateEntrySizes: true });
  } catch (cause) {
    throw bad(`cannot be read as a zip archive: ${messageOf(cause)}`, cause);
  }
  try {
    for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry);

    const text = async (name: RegExp): Promise<string> => {
      const entry = [...entries.values()].find(({ fileName }) => name.test(fileName));
      if (entry === undefined) throw bad("is not a wheel of torch: it has no torch-*.dist-info");
      const chunks: Buffer[] = [];
      await decode(zip, entry, async (chunk) => void chunks.push(chunk));
      return Buffer.concat(chunks).toString("utf8");
    };
    const version = /^Version:\s*(\S+)/m.exec(await text(/^torch-[^/]+\.dist-info\/METADATA$/))?.[1];
    if (version === undefined) throw bad("names no version in its METADATA");
    const tags = [...(await text(/^torch-[^/]+\.dist-info\/WHEEL$/)).matchAll(/^Tag:\s*(\S+)/gm)].map(
      (tag) => tag[1] ?? "",
    );
    const wanted = new Set([...entries.keys()].filter((name) => isWantedEntry(name, platform)));
    const files = readRecord(await text(/^torch-[^/]+\.dist-info\/RECORD$/), wanted);
    const unlisted = [...wanted].find((name) => !files.some((file) => file.path === name));
    if (unlisted !== undefined) throw bad(`its RECORD has no sha256 for ${unlisted}`);

    const unpack = async (
      target: string,
      onBytes: (bytes: number) => void = () => undefined,
    ): Promise<void> => {
      let written = 0;
      for (const file of files) {
        const entry = entries.get(file.path);
        if (entry === undefined) throw bad(`lacks ${file.path}, which its RECORD lists`);
        try {
          await unpackFile(zip, entry, file, join(target, ...file.path.split("/")), (bytes) => {
            onBytes((written += bytes));
          });
        } catch (cause) {
          if (isSystemError(cause)) throw cause;
          throw bad(`its ${file.path} is damaged: ${messageOf(cause)}`, cause);
        }
      }
    };
    const device = entries.has(`torch/lib/${cudaLibrary(platform)}`) ? "cuda" : "cpu";
    return { path, version, device, tags, files, unpack, close: () => zip.close() };
  } catch (cause) {
    zip.close();
    if (cause instanceof CraftError) throw cause;
    throw bad(`is damaged: ${messageOf(cause)}`, cause);
  }
}

async function unpackFile(
  zip: yauzl.ZipFile,
  entry: yauzl.Entry,
  promised: ManifestFile,
  target: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const file = await open(target, "wx", 0o755);
  try {
    const hash = createHash("sha256");
    let size = 0;
    await decode(zip, entry, async (chunk) => {
      size += chunk.length;
      if (size > promised.size) throw new Error(`it is larger than the ${promised.size} bytes of the RECORD`);
      hash.update(chunk);
      await file.writeFile(chunk);
      onBytes(chunk.length);
    });
    if (size !== promised.size) throw new Error(`it has ${size} bytes, the RECORD says ${promised.size}`);
    const digest = hash.digest("hex");
    if (digest !== promised.sha256)
      throw new Error(`its sha256 is ${digest}, the RECORD says ${promised.sha256}`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Hands the unpacked bytes of an entry to `sink`, in large chunks, which halves the time of the zip reader's own. */
async function decode(
  zip: yauzl.ZipFile,
  entry: yauzl.Entry,
  sink: (chunk: Buffer) => Promise<void>,
): Promise<void> {
  // When the sink fails, the pipeline may report the abort that follows from it instead.
  let failure: unknown;
  const drain = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    try {
      for await (const chunk of chunks) await sink(chunk);
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const raw = await zip.openReadStreamPromise(entry, { decodeFileData: false });
  try {
    if (entry.compressionMethod === 0) await pipeline(raw, drain);
    else if (entry.compressionMethod === 8)
      await pipeline(raw, createInflateRaw({ chunkSize: 1 << 20 }), drain);
    else throw new Error(`compression method ${entry.compressionMethod} is not known`);
  } catch (error) {
    throw failure ?? error;
  }
}

// RECORD is CSV of path, sha256=<base64url>, size. The paths that are wanted hold no comma and so no quotes.
function readRecord(text: string, wanted: ReadonlySet<string>): ManifestFile[] {
  const files: ManifestFile[] = [];
  for (const line of text.split("\n")) {
    const [path = "", hash = "", size = ""] = line.trimEnd().split(",");
    if (!wanted.has(path) || !hash.startsWith("sha256=") || !/^\d+$/.test(size)) continue;
    const sha256 = Buffer.from(hash.slice("sha256=".length), "base64url").toString("hex");
    files.push({ path, size: Number(size), sha256 });
  }
  return files;
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
