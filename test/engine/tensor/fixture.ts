/** @file Reads the fixtures that parity/ops.py writes. */
import { readFileSync } from "node:fs";
import type { DType } from "../../../src/torch/dtype.js";
import { fromBFloat16Bits, fromFloat16Bits } from "../../../src/torch/float_bits.js";

export interface Stored {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

type Reader = (view: DataView, offset: number) => number;

const formats: Readonly<Record<string, { dtype: DType; bytes: number; read: Reader }>> = {
  F64: { dtype: "float64", bytes: 8, read: (v, o) => v.getFloat64(o, true) },
  F32: { dtype: "float32", bytes: 4, read: (v, o) => v.getFloat32(o, true) },
  F16: { dtype: "float16", bytes: 2, read: (v, o) => fromFloat16Bits(v.getUint16(o, true)) },
  BF16: { dtype: "bfloat16", bytes: 2, read: (v, o) => fromBFloat16Bits(v.getUint16(o, true)) },
  I64: { dtype: "int64", bytes: 8, read: (v, o) => Number(v.getBigInt64(o, true)) },
  I32: { dtype: "int32", bytes: 4, read: (v, o) => v.getInt32(o, true) },
  I8: { dtype: "int8", bytes: 1, read: (v, o) => v.getInt8(o) },
  U8: { dtype: "uint8", bytes: 1, read: (v, o) => v.getUint8(o) },
  BOOL: { dtype: "bool", bytes: 1, read: (v, o) => v.getUint8(o) },
};

/** The tensors of one case, by the part of the name behind the case's number. */
export class CaseFixture {
  readonly #read: (name: string) => Stored | undefined;

  constructor(read: (name: string) => Stored | undefined) {
    this.#read = read;
  }

  find(name: string): Stored | undefined {
    return this.#read(name);
  }

  get(name: string): Stored {
    const found = this.#read(name);
    if (found === undefined) throw new Error(`the fixture has no ${name}; run python parity/ops.py`);
    return found;
  }

  /** `get` for name0, name1 and so on, as many as there are. */
  series(name: string): Stored[] {
    const found: Stored[] = [];
    for (let next = this.#read(`${name}0`); next !== undefined; next = this.#read(`${name}${found.length}`))
      found.push(next);
    return found;
  }
}

/** The cases of a family by id. */
export function readFamily(family: string): ReadonlyMap<string, CaseFixture> {
  const file = readFileSync(new URL(`../../fixtures/ops/${family}.safetensors`, import.meta.url));
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const headerSize = Number(view.getBigUint64(0, true));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerSize)) as Readonly<Record<string, Entry>> & {
    readonly __metadata__: { readonly ids: string };
  };
  const read = (name: string): Stored | undefined => {
    const entry = header[name];
    if (entry === undefined) return undefined;
    const format = formats[entry.dtype]!;
    const [start, end] = entry.data_offsets;
    const data = Array.from({ length: (end - start) / format.bytes }, (_, i) =>
      format.read(view, 8 + headerSize + start + i * format.bytes),
    );
    return { dtype: format.dtype, shape: entry.shape, data };
  };
  const ids = JSON.parse(header.__metadata__.ids) as readonly string[];
  return new Map(ids.map((id, i) => [id, new CaseFixture((name) => read(`${i}.${name}`))]));
}
