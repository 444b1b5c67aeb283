import { compile, packedLinear, tensor, type Tensor } from "../tensor/index.js";
import type { Device } from "../torch/device.js";
import type { DType } from "../torch/dtype.js";

const known = new Map<DType, boolean>();

/**
 * Whether weights of the dtype can be packed on the device. Libraries without oneDNN and processors without its
 * bfloat16 instructions cannot; a product of a few integers tells.
 */
export async function canPack(dtype: DType, device: Device): Promise<boolean> {
  if (device.type !== "cpu" || (dtype !== "float32" && dtype !== "bfloat16")) return false;
  const before = known.get(dtype);
  if (before !== undefined) return before;
  const works = await tryProduct(dtype);
  known.set(dtype, works);
  return works;
}

async function tryProduct(dtype: DType): Promise<boolean> {
  const product = compile((x: Tensor, weight: Tensor) => packedLinear(x, weight));
  try {
    const x = [1, 2, 3, 4];
    const weight = Array.from({ length: 16 }, (_, i) => x.map((_value, j) => (i + j) % 5));
    using result = await product(tensor([x], dtype), tensor(weight, dtype));
    const expected = weight.map((row) => row.reduce((sum, w, j) => sum + w * x[j]!, 0));
    return result.toNumbers().join() === expected.join();
  } catch {
    return false;
  } finally {
    product.dispose();
  }
}
