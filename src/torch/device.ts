import { CraftError } from "../errors.js";

/** Where tensors live. The index tells GPUs of one machine apart and is 0 on `cpu` and `mps`. */
export interface Device {
  readonly type: "cpu" | "cuda" | "mps";
  readonly index: number;
}

export const cpu: Device = { type: "cpu", index: 0 };

/** The value of c10::DeviceType, which the ABI passes as an int32. */
export const deviceCode: Record<Device["type"], number> = { cpu: 0, cuda: 1, mps: 13 };

/** Reads `cpu`, `cuda`, `cuda:1` or `mps`. */
export function parseDevice(text: string): Device {
  const match = /^(cpu|cuda|mps)(?::(\d+))?$/.exec(text);
  const type = match?.[1];
  if (type !== "cpu" && type !== "cuda" && type !== "mps") {
    throw new CraftError({
      subject: "device",
      value: text,
      reason: "is not known",
      remedy: "Use cpu, cuda, cuda:N or mps.",
    });
  }
  return { type, index: Number(match?.[2] ?? 0) };
}

export const deviceName = (device: Device): string =>
  device.type === "cuda" ? `cuda:${device.index}` : device.type;
