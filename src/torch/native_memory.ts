import { addressOf, type Address } from "./library.js";

/**
 * A block of memory that JavaScript writes and libtorch reads: call stacks, sizes, names and result cells.
 * Offsets are in bytes and always multiples of 8.
 */
export class NativeMemory {
  readonly address: Address;
  readonly #buffer: ArrayBuffer;
  readonly #u32: Uint32Array;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #bytes: Uint8Array;
  #used = 0;

  constructor(capacity: number) {
    this.#buffer = new ArrayBuffer(Math.max(64, Math.ceil(capacity / 8) * 8));
    this.#u32 = new Uint32Array(this.#buffer);
    this.#i32 = new Int32Array(this.#buffer);
    this.#f64 = new Float64Array(this.#buffer);
    this.#bytes = new Uint8Array(this.#buffer);
    this.address = addressOf(this.#buffer);
  }

  get free(): number {
    return this.#buffer.byteLength - this.#used;
  }

  /** Reserves `bytes` and returns the offset. */
  allocate(bytes: number): number {
    const offset = this.#used;
    this.#used += Math.ceil(bytes / 8) * 8;
    if (this.#used > this.#buffer.byteLength)
      throw new RangeError(`native memory of ${this.#buffer.byteLength} bytes is full`);
    return offset;
  }

  at(offset: number): Address {
    return this.address + offset;
  }

  /** Reads 64 unsigned bits as a number; exact up to 2^53, which covers addresses. */
  readWord(offset: number): number {
    const i = offset >>> 2;
    return this.#u32[i]! + this.#u32[i + 1]! * 4294967296;
  }

  readInt32(offset: number): number {
    return this.#i32[offset >>> 2]!;
  }

  /** Writes an address or a non-negative integer below 2^53 as 64 bits. */
  writeWord(offset: number, value: number): void {
    const i = offset >>> 2;
    this.#u32[i] = value >>> 0;
    this.#u32[i + 1] = (value / 4294967296) >>> 0;
  }

  /** Writes a signed integer as 64 bits in two's complement. */
  writeInt(offset: number, value: number): void {
    const i = offset >>> 2;
    this.#u32[i] = value >>> 0;
    this.#i32[i + 1] = Math.floor(value / 4294967296);
  }

  writeDouble(offset: number, value: number): void {
    this.#f64[offset >>> 3] = value;
  }

  writeBytes(offset: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, offset);
  }

  /** Copies `bytes` (a multiple of 8) inside this block. */
  copyWithin(to: number, from: number, bytes: number): void {
    const end = from >>> 2;
    const start = to >>> 2;
    for (let i = (bytes >>> 2) - 1; i >= 0; i--) this.#u32[start + i] = this.#u32[end + i]!;
  }
}

/** Blocks that grow as a plan or a process needs more names, sizes and stacks. Nothing is given back before the owner is. */
export class NativeArena {
  readonly #chunk: number;
  #current: NativeMemory;

  constructor(chunk = 1 << 16) {
    this.#chunk = chunk;
    this.#current = new NativeMemory(chunk);
  }

  allocate(bytes: number): { memory: NativeMemory; offset: number } {
    if (this.#current.free < bytes + 8) this.#current = new NativeMemory(Math.max(this.#chunk, bytes + 8));
    return { memory: this.#current, offset: this.#current.allocate(bytes) };
  }

  /** Stores 64-bit integers and returns their address. The arena must outlive every use. */
  integers(values: readonly number[]): Address {
    const { memory, offset } = this.allocate(Math.max(8, values.length * 8));
    values.forEach((value, i) => memory.writeInt(offset + 8 * i, value));
    return this.#keep(memory, offset);
  }

  /** Stores a zero-terminated UTF-8 string. */
  string(text: string): Address {
    const bytes = new TextEncoder().encode(`${text}\0`);
    const { memory, offset } = this.allocate(bytes.length);
    memory.writeBytes(offset, bytes);
    return this.#keep(memory, offset);
  }

  readonly #blocks = new Set<NativeMemory>();

  #keep(memory: NativeMemory, offset: number): Address {
    this.#blocks.add(memory);
    return memory.at(offset);
  }
}
