import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { CraftError } from "../../errors.js";
import { cpu, type Device } from "../../torch/device.js";
import { DeviceTensor } from "../../torch/device_tensor.js";
import type { DType } from "../../torch/dtype.js";
import { fileError, ioChunkBytes } from "../atomic_file.js";
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
  #descriptor: number | undefined;

  constructor(path: string) {
    this.path = path;
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
   * Reads one tensor straight into native memory; the caller owns it. A conversion holds this one tensor twice while
   * it lasts.
   */
  read(name: string, { device = cpu, dtype }: ReadOptions = {}): DeviceTensor {
    const { shape, begin, dtype: stored } = this.entry(name);
    if (this.#descriptor === undefined) throw new CraftError({ subject: this.path, reason: "was closed" });
    const source = DeviceTensor.empty(shape, stored);
    let target: DeviceTensor | undefined;
    try {
      readFully(this.path, this.#descriptor, source.bytes(), begin);
      if (device.type === "cpu" && (dtype ?? stored) === stored) return source;
      target = DeviceTensor.empty(shape, dtype ?? stored, device);
      target.copyFrom(source);
    } catch (error) {
      source.dispose();
      target?.dispose();
      throw error;
    }
    source.dispose();
    return target;
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
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
