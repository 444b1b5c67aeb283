import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { CraftError } from "../../errors.js";
import { cpu, type Device } from "../../torch/device.js";
import { DeviceTensor } from "../../torch/device_tensor.js";
import { dtypeBytes, type DType } from "../../torch/dtype.js";
import { fileError, ioChunkBytes } from "../atomic_file.js";
import { Converter } from "./convert.js";
import { lengthBytes, type TensorEntry } from "./format.js";
import { headerLength, parseHeader } from "./header.js";

export interface ReadOptions {
  /** Where the tensor goes; the CPU by default. */
  readonly device?: Device;
  /** Converted to this; by default as in the file. */
  readonly dtype?: DType;
}

/** An open safetensors file. Only its header is in memory. */
export class SafetensorsFile {
  readonly path: string;
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** What the writer noted, such as `format: "pt"`. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly #converter: Converter;
  #descriptor: number | undefined;

  /** Files that are read one after another can share a converter. */
  constructor(path: string, converter = new Converter()) {
    this.path = path;
    this.#converter = converter;
    const descriptor = attempt(path, () => openSync(path, "r"));
    try {
      const fileBytes = attempt(path, () => fstatSync(descriptor)).size;
      const start = new Uint8Array(Math.min(lengthBytes, fileBytes));
      readFully(path, descriptor, start, 0);
      const header = new Uint8Array(headerLength(path, start, fileBytes));
      readFully(path, descriptor, header, lengthBytes);
      ({ tensors: this.tensors, metadata: this.metadata } = parseHeader(path, header, fileBytes));
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    this.#descriptor = descriptor;
  }

  /** @throws CraftError if the file has no such tensor. */
  entry(name: string): TensorEntry {
    const entry = this.tensors.get(name);
    if (entry === undefined)
      throw new CraftError({ subject: this.path, value: name, reason: "has no tensor of this name" });
    return entry;
  }

  /**
   * Reads one tensor straight into native memory; the caller owns it. Conversion needs no memory worth mentioning, and
   * another device as much as the tensor has in the file.
   */
  read(name: string, { device = cpu, dtype }: ReadOptions = {}): DeviceTensor {
    const { shape, begin, dtype: stored } = this.entry(name);
    if (this.#descriptor === undefined) throw new CraftError({ subject: this.path, reason: "was closed" });
    const to = dtype ?? stored;
    const descriptor = this.#descriptor;
    if (device.type !== "cpu") {
      const source = this.read(name);
      try {
        return filled(DeviceTensor.empty(shape, to, device), (target) => target.copyFrom(source));
      } finally {
        source.dispose();
      }
    }
    return filled(DeviceTensor.empty(shape, to), (target) => {
      const bytes = target.bytes();
      if (to === stored) {
        readFully(this.path, descriptor, bytes, begin);
        return;
      }
      const elements = bytes.byteLength / dtypeBytes(to);
      this.#converter.run(
        { from: stored, to, elements },
        (into, element) => readFully(this.path, descriptor, into, begin + element * dtypeBytes(stored)),
        (converted, element) => bytes.set(converted, element * dtypeBytes(to)),
      );
    });
  }

  /**
   * Gives parts of a tensor, elements from `begin` up to `end`, converted to a dtype. What it returns is valid until the
   * next call.
   */
  elements(name: string, dtype: DType): (begin: number, end: number) => Uint8Array {
    const { begin: start, dtype: stored } = this.entry(name);
    const width = dtypeBytes(dtype);
    let buffer = new Uint8Array(0);
    return (begin, end) => {
      const descriptor = this.#descriptor;
      if (descriptor === undefined) throw new CraftError({ subject: this.path, reason: "was closed" });
      const bytes = (end - begin) * width;
      if (buffer.byteLength < bytes) buffer = new Uint8Array(bytes);
      const into = buffer.subarray(0, bytes);
      const position = (element: number): number => start + (begin + element) * dtypeBytes(stored);
      if (dtype === stored) readFully(this.path, descriptor, into, position(0));
      else
        this.#converter.run(
          { from: stored, to: dtype, elements: end - begin },
          (part, element) => readFully(this.path, descriptor, part, position(element)),
          (converted, element) => into.set(converted, element * width),
        );
      return into;
    };
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    this.#converter.dispose();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a safetensors file: reads its header, and checks that the header is true of the file.
 *
 * @throws CraftError if the file cannot be read, is cut short, or has a header that is wrong; the message names the
 * file, the tensor, and what was found and expected.
 */
export const openSafetensors = (path: string): SafetensorsFile => new SafetensorsFile(path);

function filled(tensor: DeviceTensor, fill: (tensor: DeviceTensor) => void): DeviceTensor {
  try {
    fill(tensor);
    return tensor;
  } catch (error) {
    tensor.dispose();
    throw error;
  }
}

function readFully(path: string, descriptor: number, into: Uint8Array, position: number): void {
  for (let done = 0; done < into.byteLength;) {
    const length = Math.min(into.byteLength - done, ioChunkBytes);
    const count = attempt(path, () => readSync(descriptor, into, done, length, position + done));
    if (count === 0)
      throw new CraftError({
        subject: path,
        reason: `has become shorter since it was opened: it ends at byte ${position + done}`,
        remedy: "Let nothing write to the file while it is read",
      });
    done += count;
  }
}

function attempt<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw fileError(path, "read", error);
  }
}
