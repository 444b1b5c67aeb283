import { DeviceTensor } from "./device_tensor.js";
import type { Instruction } from "./dispatcher.js";
import { NativeArena } from "./native_memory.js";
import { torch } from "./torch.js";

interface Operands {
  readonly parameters: readonly DeviceTensor[];
  readonly gradients: readonly DeviceTensor[];
  readonly means: readonly DeviceTensor[];
  readonly squares: readonly DeviceTensor[];
}

/** `aten::_fused_adamw_` prepared for lists of a fixed length. Everything is lent; parameters and moments change in place. */
export class FusedAdamW {
  readonly #count: number;
  readonly #slots: Float64Array;
  readonly #instruction: Instruction;
  readonly #learningRate = DeviceTensor.full([], 0);
  readonly #step = DeviceTensor.full([], 0);
  readonly #divisor = DeviceTensor.full([], 1);

  constructor(
    count: number,
    options: {
      readonly betas: readonly [number, number];
      readonly eps: number;
      readonly weightDecay: number;
    },
  ) {
    this.#count = count;
    this.#slots = new Float64Array(4 * count + 3);
    const list = (from: number) => Array.from({ length: count }, (_, i) => ({ slot: from + i, last: false }));
    const single = (slot: number) => ({ slot, last: false });
    const steps = Array.from({ length: count }, () => single(4 * count));
    const { betas, eps, weightDecay } = options;
    this.#instruction = torch().dispatcher.prepare(
      "_fused_adamw_.tensor_lr",
      [
        list(0),
        list(count),
        list(2 * count),
        list(3 * count),
        [],
        steps,
        single(4 * count + 1),
        betas[0],
        betas[1],
        weightDecay,
        eps,
        false,
        false,
        single(4 * count + 2),
        null,
      ],
      [],
      new NativeArena(),
    );
  }

  step(
    operands: Operands,
    at: { readonly learningRate: number; readonly divisor: number; readonly step: number },
  ): void {
    const slots = this.#slots;
    const count = this.#count;
    const { parameters, gradients, means, squares } = operands;
    [parameters, gradients, means, squares].forEach((list, k) =>
      list.forEach((tensor, i) => (slots[k * count + i] = tensor.handle)),
    );
    const put = (tensor: DeviceTensor, value: number, slot: number): void => {
      torch().library.fill(tensor.handle, value);
      slots[slot] = tensor.handle;
    };
    put(this.#step, at.step, 4 * count);
    put(this.#learningRate, at.learningRate, 4 * count + 1);
    put(this.#divisor, at.divisor, 4 * count + 2);
    this.#instruction(slots);
  }

  dispose(): void {
    for (const tensor of [this.#learningRate, this.#step, this.#divisor]) tensor.dispose();
  }
}
