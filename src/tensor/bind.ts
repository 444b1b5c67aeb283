import type { Device } from "../torch/device.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { constantValue } from "./leaf.js";
import { asParameter } from "./parameter.js";
import type { Plan } from "./plan.js";

/** Handles of a plan's parameters, lent, and its constants, uploaded. */
export function bindLeaves(
  plan: Plan,
  device: Device,
): { handles: Map<number, number>; constants: DeviceTensor[] } {
  const handles = new Map<number, number>();
  const constants = plan.constants.map(({ tensor, slot }) => {
    const uploaded = constantValue(tensor)!.upload(device);
    handles.set(slot, uploaded.handle);
    return uploaded;
  });
  bindParameters(plan, handles);
  return { handles, constants };
}

/** Lends the current values of a plan's parameters. */
export function bindParameters(plan: Plan, handles: Map<number, number>): void {
  for (const { tensor, slot } of plan.parameters) handles.set(slot, asParameter(tensor)!.value.handle);
}
