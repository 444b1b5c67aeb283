import { CraftError } from "../../errors.js";
import { cpu } from "../../torch/device.js";
import type { DeviceTensor } from "../../torch/device_tensor.js";
import { dtypeBytes, isFloating, type DType } from "../../torch/dtype.js";
import { commitFiles, stageFile, type StagedFile } from "../atomic_file.js";
import { byCodePoint } from "../python_json.js";
import { Converter } from "./convert.js";
import { byteLength, formatName, lengthBytes, metadataKey, writingRank } from "./format.js";

export interface WriteOptions {
  /** Noted in the header; Python's libraries expect `{ format: "pt" }` in model and adapter files. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Tensors of floats are converted to this as they are written. */
  readonly dtype?: DType;
}

export type NamedTensor = readonly [name: string, tensor: DeviceTensor];

/**
 * Writes tensors to a file, byte for byte as Python's safetensors does. No tensor is held twice, unless it must be
 * fetched from a GPU. The file appears under its name when it is complete and on the disk; if anything fails, what was
 * there before stays.
 *
 * @throws CraftError if a name occurs twice, or the file cannot be written.
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<NamedTensor>,
  options: WriteOptions = {},
): void {
  commitFiles([stageSafetensors(path, [...tensors], options)]);
}

/** Writes the file under a temporary name. */
export function stageSafetensors(
  path: string,
  tensors: readonly NamedTensor[],
  { metadata, dtype }: WriteOptions = {},
): StagedFile {
  if (dtype !== undefined && !isFloating(dtype))
    throw new CraftError({ subject: "dtype", value: dtype, reason: "is not a dtype of floats" });
  checkNames(path, tensors);
  const ordered = tensors
    .map(([name, tensor]) => ({ name, tensor, dtype: savedDType(tensor, dtype) }))
    .sort((a, b) => writingRank(a.dtype) - writingRank(b.dtype) || byCodePoint(a.name, b.name));
  const converter = new Converter();
  try {
    return stageFile(path, (file) => {
      file.write(buildHeader(ordered, metadata));
      for (const { tensor, dtype: saved } of ordered) writeTensor(file, tensor, saved, converter);
    });
  } finally {
    converter.dispose();
  }
}

/** The dtype that a tensor has in a file written with the option `dtype`. */
export const savedDType = (tensor: DeviceTensor, dtype: DType | undefined): DType =>
  dtype !== undefined && isFloating(tensor.dtype) ? dtype : tensor.dtype;

interface Item {
  readonly name: string;
  readonly tensor: DeviceTensor;
  readonly dtype: DType;
}

function buildHeader(items: readonly Item[], metadata: WriteOptions["metadata"]): Uint8Array {
  let at = 0;
  const fields: string[] = metadata === undefined ? [] : [field(metadataKey, metadata)];
  for (const { name, tensor, dtype } of items) {
    const begin = at;
    at += byteLength(dtype, tensor.shape);
    fields.push(field(name, { dtype: formatName(dtype), shape: tensor.shape, data_offsets: [begin, at] }));
  }
  const json = Buffer.from(`{${fields.join(",")}}`);
  // Spaces make the data start at a multiple of 8.
  const header = Buffer.alloc(lengthBytes + Math.ceil(json.length / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.length - lengthBytes));
  json.copy(header, lengthBytes);
  return header;
}

// Built by hand since an object would sort names that look like integers to the front.
const field = (name: string, value: unknown): string => `${JSON.stringify(name)}:${JSON.stringify(value)}`;

function writeTensor(file: StagedFile, tensor: DeviceTensor, dtype: DType, converter: Converter): void {
  if (tensor.device.type !== "cpu") {
    const local = tensor.to(cpu);
    try {
      writeTensor(file, local, dtype, converter);
    } finally {
      local.dispose();
    }
    return;
  }
  const bytes = tensor.bytes();
  if (tensor.dtype === dtype) {
    file.write(bytes);
    return;
  }
  const width = dtypeBytes(tensor.dtype);
  converter.run(
    { from: tensor.dtype, to: dtype, elements: bytes.byteLength / width },
    (into, element) => into.set(bytes.subarray(element * width, element * width + into.byteLength)),
    (converted) => file.write(converted),
  );
}

function checkNames(path: string, tensors: readonly NamedTensor[]): void {
  const seen = new Set<string>([metadataKey]);
  for (const [name] of tensors) {
    if (seen.has(name))
      throw new CraftError({
        subject: path,
        value: name,
        reason: name === metadataKey ? "is a reserved name" : "two tensors have this name",
      });
    seen.add(name);
  }
}
