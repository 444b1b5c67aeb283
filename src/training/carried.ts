/** @file State beside the parameters that a run keeps from step to step. */
import { DeviceTensor } from "../torch/device_tensor.js";

/** What is kept. Tensors are lent: whoever takes them copies them. */
export interface CarriedValues {
  readonly numbers?: Readonly<Record<string, readonly number[]>>;
  readonly tensors?: Readonly<Record<string, DeviceTensor>>;
}

/**
 * Something that changes while a run goes on and is no parameter: a queue of negatives, a running mean, a balancer. It
 * is saved with each checkpoint and taken up again when a run is resumed. A window that is interrupted is computed
 * again, so that the loop also brings back what stood here when it began.
 */
export interface Carried {
  /** What stands here now: the same names, dtypes and shapes at each call. */
  state(): CarriedValues;
  /** Takes up what {@link state} once gave. Numbers and tensors stay the caller's. */
  restore(values: CarriedValues): void;
}

/** Everything that a run carries, by name. */
export type AllCarried = Readonly<Record<string, Carried>>;

/** What stood in `carried` at one moment, kept until it is brought back or forgotten. */
export class CarriedSnapshot {
  readonly #values: readonly (readonly [Carried, CarriedValues])[];

  constructor(carried: AllCarried) {
    this.#values = Object.values(carried).map((one) => {
      const { numbers = {}, tensors = {} } = one.state();
      return [
        one,
        {
          numbers: Object.fromEntries(Object.entries(numbers).map(([name, list]) => [name, [...list]])),
          tensors: Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, copy(tensor)])),
        },
      ] as const;
    });
  }

  bringBack(): void {
    for (const [one, values] of this.#values) one.restore(values);
  }

  dispose(): void {
    for (const [, { tensors }] of this.#values)
      for (const tensor of Object.values(tensors ?? {})) tensor.dispose();
  }
}

function copy(tensor: DeviceTensor): DeviceTensor {
  const result = DeviceTensor.empty(tensor.shape, tensor.dtype, tensor.device);
  result.copyFrom(tensor);
  return result;
}
