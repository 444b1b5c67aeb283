/** @file Headers of safetensors files: every number in one is checked before anything is read by it. */
import { CraftError } from "../../errors.js";
import {
  byteLength,
  dtypeOfName,
  formatName,
  formatNames,
  isForeignName,
  lengthBytes,
  maxHeaderBytes,
  metadataKey,
  type TensorEntry,
} from "./format.js";

export interface Header {
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

const again = "Download or copy the file again";

const broken = (file: string, reason: string, value?: unknown, remedy = again): CraftError =>
  new CraftError({ subject: file, ...(value === undefined ? {} : { value }), reason, remedy });

/** Checks the first 8 bytes of a file and returns the length of the header that follows. */
export function headerLength(file: string, start: Uint8Array, fileBytes: number): number {
  if (Buffer.from(start).toString("latin1") === "version ")
    throw broken(
      file,
      "is a Git LFS pointer, not the weights",
      undefined,
      "Run git lfs pull in its folder, or download it",
    );
  if (start.length < lengthBytes)
    throw broken(
      file,
      `is cut short: it has ${fileBytes} bytes, and a safetensors file at least ${lengthBytes}`,
    );
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes))
    throw broken(
      file,
      `its first 8 bytes announce a header of ${length} bytes, and at most ${maxHeaderBytes} are allowed`,
      undefined,
      `${again}, and check that it is a safetensors file`,
    );
  if (length > BigInt(fileBytes - lengthBytes))
    throw broken(file, `is cut short: its header has ${length} bytes, and ${fileBytes - lengthBytes} follow`);
  return Number(length);
}

/**
 * Parses and checks a header: known dtypes, spans that fit the shapes, no gap, no overlap, and as many bytes in the
 * file as the tensors need.
 *
 * @throws CraftError naming the file, the tensor, and what was found and expected.
 */
export function parseHeader(file: string, header: Uint8Array, fileBytes: number): Header {
  const entries: [string, TensorEntry][] = [];
  let metadata: Record<string, string> = {};
  const dataStart = lengthBytes + header.byteLength;
  for (const [name, value] of Object.entries(parseJson(file, header))) {
    if (name === metadataKey) metadata = parseMetadata(file, value);
    else entries.push([name, parseEntry(file, name, value, dataStart)]);
  }
  entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkLayout(file, entries, dataStart, fileBytes);
  return { tensors: new Map(entries), metadata };
}

function parseJson(file: string, header: Uint8Array): object {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch (error) {
    throw broken(
      file,
      `its header is not JSON (${error instanceof Error ? error.message : String(error)})`,
      undefined,
      `${again}, and check that it is a safetensors file`,
    );
  }
  if (!isObject(value)) throw broken(file, "its header is not a JSON object");
  return value;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parseMetadata(file: string, value: unknown): Record<string, string> {
  if (value === null) return {};
  const entries = isObject(value) ? Object.entries(value) : [["", value] as const];
  return Object.fromEntries(
    entries.map(([key, item]) => {
      if (typeof item !== "string") throw broken(`${file}, ${metadataKey}`, "must map texts to texts", value);
      return [key, item];
    }),
  );
}

function parseEntry(file: string, name: string, value: unknown, dataStart: number): TensorEntry {
  const subject = `${file}, tensor ${name}`;
  if (!isObject(value)) throw broken(subject, "must have dtype, shape and data_offsets", value);
  const dtype = dtypeOfName(value["dtype"]);
  if (dtype === undefined) throw unknownDtype(subject, value["dtype"]);
  const shape = sizes(value["shape"]);
  if (shape === undefined)
    throw broken(`${subject}, shape`, "must be a list of integers from 0 on", value["shape"]);
  const offsets = sizes(value["data_offsets"]);
  const [begin, end] = offsets ?? [];
  if (begin === undefined || end === undefined || offsets?.length !== 2 || begin > end)
    throw broken(`${subject}, data_offsets`, "must be two ascending positions", value["data_offsets"]);
  const expected = byteLength(dtype, shape);
  if (end - begin !== expected) {
    const what = `${formatName(dtype)} [${shape.join(", ")}]`;
    throw broken(
      `${subject}, data_offsets`,
      `span ${end - begin} bytes, and ${what} has ${expected}`,
      value["data_offsets"],
    );
  }
  return { dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

function sizes(value: unknown): number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const list: readonly unknown[] = value;
  const numbers = list.filter((item): item is number => Number.isSafeInteger(item) && Number(item) >= 0);
  return numbers.length === list.length ? numbers : undefined;
}

function unknownDtype(subject: string, dtype: unknown): CraftError {
  const foreign = typeof dtype === "string" && isForeignName(dtype);
  return broken(
    `${subject}, dtype`,
    foreign ? "is not supported" : "is not a dtype of the format",
    dtype,
    foreign ? `Supported are ${formatNames.join(", ")}; use the model's unquantised weights` : again,
  );
}

/** Tensors must follow each other without gap or overlap up to the last byte of the file. */
function checkLayout(
  file: string,
  entries: readonly (readonly [string, TensorEntry])[],
  dataStart: number,
  fileBytes: number,
): void {
  let at = dataStart;
  let previous = "the header";
  for (const [name, { begin, end }] of entries) {
    const place = `starts at byte ${begin}, and ${previous} ends at byte ${at}`;
    if (begin < at) throw broken(`${file}, tensor ${name}`, `overlaps with the bytes before it: it ${place}`);
    if (begin > at) throw broken(`${file}, tensor ${name}`, `leaves a gap: it ${place}`);
    if (end > fileBytes)
      throw broken(
        `${file}, tensor ${name}`,
        `the file is cut short: the tensor ends at byte ${end}, and the file has ${fileBytes}`,
      );
    at = end;
    previous = `tensor ${name}`;
  }
  if (at < fileBytes)
    throw broken(
      file,
      `has ${fileBytes - at} bytes that belong to no tensor: ${previous} ends at byte ${at}`,
    );
}
