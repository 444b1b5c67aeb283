import { DeviceTensor } from "../../torch/device_tensor.js";
import { dtypeBytes, type DType } from "../../torch/dtype.js";

// Fits the cache, and libtorch converts that many on one thread: waiting for others takes longer than the work.
const chunkElements = 2 ** 15;

interface Buffers {
  readonly source: DeviceTensor;
  readonly target: DeviceTensor;
}

/**
 * Converts elements from dtype to dtype through a pair of small buffers. Converting tensors whole would need memory
 * for the largest of them twice, and leave holes in the heap that the next tensors do not fit into.
 */
export class Converter {
  readonly #buffers = new Map<string, Buffers>();

  /**
   * @param load copies elements from the given one on into a part of the buffer
   * @param store takes the converted ones; the bytes are only valid during the call
   */
  run(
    { from, to, elements }: { readonly from: DType; readonly to: DType; readonly elements: number },
    load: (into: Uint8Array, element: number) => void,
    store: (converted: Uint8Array, element: number) => void,
  ): void {
    const { source, target } = this.#pair(from, to);
    const [input, output] = [source.bytes(), target.bytes()];
    for (let element = 0; element < elements; element += chunkElements) {
      const count = Math.min(chunkElements, elements - element);
      load(input.subarray(0, count * dtypeBytes(from)), element);
      target.copyFrom(source);
      store(output.subarray(0, count * dtypeBytes(to)), element);
    }
  }

  dispose(): void {
    for (const { source, target } of this.#buffers.values()) {
      source.dispose();
      target.dispose();
    }
    this.#buffers.clear();
  }

  #pair(from: DType, to: DType): Buffers {
    const key = `${from} ${to}`;
    let buffers = this.#buffers.get(key);
    if (buffers === undefined) {
      // Zeros, so that what is not loaded into yet is a number too.
      const make = (dtype: DType): DeviceTensor => DeviceTensor.full([chunkElements], 0, dtype);
      buffers = { source: make(from), target: make(to) };
      this.#buffers.set(key, buffers);
    }
    return buffers;
  }
}
