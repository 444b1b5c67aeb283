/** @file Matrices in 4 bits inside programs. */
import {
  add,
  cat,
  constant,
  customVjp,
  embedding,
  HostTensor,
  indexSelect,
  linear,
  matmul,
  mul,
  reshape,
  slice,
  transient,
  unsqueeze,
  type Tensor,
} from "../tensor/index.js";
import { isFloating, type DType } from "../torch/dtype.js";
import { dynamicMap, fourBitTypes, levels, type FourBitType } from "./code_books.js";
import type { FourBits } from "./four_bits.js";

/** Elements that are looked up at a time: as float32 and with their indices they take six times the memory of bfloat16. */
const runElements = 2 ** 22;

const nested = constant(new HostTensor(dynamicMap, [dynamicMap.length], "float32"));

/** Both levels [256, 2] that a byte stands for. */
const pairs = Object.fromEntries(
  fourBitTypes.map((type) => {
    const table = Float32Array.from({ length: 512 }, (_, i) => {
      const byte = i >> 1;
      return levels[type][i % 2 === 0 ? byte >> 4 : byte & 15]!;
    });
    return [type, constant(new HostTensor(table, [256, 2], "float32"))];
  }),
) as Readonly<Record<FourBitType, Tensor>>;

/** Elements [n] times the scale of their block [ceil(n / size)]. */
function scaled(values: Tensor, scales: Tensor, size: number): Tensor {
  const blocks = Math.floor(values.numel / size);
  const whole = blocks * size;
  const parts: Tensor[] = [];
  if (blocks > 0) {
    const rows = reshape(slice(values, 0, 0, whole), [blocks, size]);
    parts.push(reshape(mul(rows, unsqueeze(slice(scales, 0, 0, blocks), 1)), [whole]));
  }
  if (whole < values.numel) parts.push(mul(slice(values, 0, whole), slice(scales, 0, blocks, blocks + 1)));
  return parts.length === 1 ? parts[0]! : cat(parts);
}

/** The scales [blocks] in float32. */
function scalesOf({ absmax, nestedAbsmax, nested: outer }: FourBits<Tensor>): Tensor {
  if (outer === undefined || nestedAbsmax === undefined) return transient(absmax);
  const values = indexSelect(nested, 0, transient(absmax).to("int32"));
  return add(scaled(values, nestedAbsmax, outer.blockSize), outer.offset);
}

/**
 * The matrix [out, in] that 4 bits stand for: rounded to the dtype that they remember, and then to `dtype`. It is computed
 * at each use, and gone after it.
 */
export function dequantized(bits: FourBits<Tensor>, dtype: DType, run = runElements): Tensor {
  const { shape, blockSize, packed } = bits;
  const elements = shape[0] * shape[1];
  const bytes = reshape(transient(packed), [packed.numel]);
  const scales = scalesOf(bits);
  const step = Math.max(1, Math.floor(run / blockSize)) * blockSize;
  const parts: Tensor[] = [];
  for (let begin = 0; begin < elements; begin += step) {
    const end = Math.min(elements, begin + step);
    const codes = slice(bytes, 0, begin / 2, Math.ceil(end / 2)).to("int32");
    const values = reshape(embedding(pairs[bits.type], codes), [2 * codes.numel]);
    const own = slice(scales, 0, begin / blockSize, Math.ceil(end / blockSize));
    parts.push(scaled(slice(values, 0, 0, end - begin), own, blockSize).to(bits.dtype));
  }
  const whole = parts.length === 1 ? parts[0]! : cat(parts);
  return reshape(whole, shape).to(dtype);
}

/**
 * x W^T + b with a W [out, in] in 4 bits, which is turned back into numbers once for the product and once more for the
 * gradient towards x; there is none towards W.
 *
 * @param x [..., in], of floats
 */
export function fourBitLinear(x: Tensor, bits: FourBits<Tensor>, bias?: Tensor): Tensor {
  if (!isFloating(x.dtype)) throw new TypeError(`the input must have a float dtype, got ${x.dtype}`);
  const [y] = customVjp(
    [x],
    (input) => ({ results: [linear(input, dequantized(bits, input.dtype))], keep: undefined }),
    ([g]) => [matmul(g!, dequantized(bits, g!.dtype))],
  );
  return bias === undefined ? y! : add(y!, bias);
}
