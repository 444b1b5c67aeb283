import type { Device } from "../torch/device.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { constantValue } from "./leaf.js";
import { asParameter } from "./parameter.js";
import type { Plan } from "./plan.js";

/** What a run reads: tensors that stay until it ends, whatever their owners dispose of in between. */
export class Loans {
  readonly handles = new Map<number, number>();
  readonly #lent: DeviceTensor[] = [];

  borrow(slot: number, value: DeviceTensor): void {
    this.handles.set(slot, value.lend());
    this.#lent.push(value);
  }

  /** Borrows the current values of a plan's parameters. */
  borrowParameters(plan: Plan): void {
    for (const { tensor, slot } of plan.parameters) this.borrow(slot, asParameter(tensor)!.value);
  }

  end(): void {
    for (const value of this.#lent.splice(0)) value.giveBack();
  }
}

/** The constants of a plan on a device, in the order of `plan.constants`. */
export const uploadConstants = (plan: Plan, device: Device): DeviceTensor[] =>
  plan.constants.map(({ tensor }) => constantValue(tensor)!.upload(device));
