import type { Device } from "../torch/device.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { Loans, uploadConstants } from "./bind.js";
import { Executable } from "./execute.js";
import type { Derived } from "./passes/hoist.js";
import { plan } from "./plan.js";

interface Entry {
  value: DeviceTensor | undefined;
  versions: readonly number[];
  users: number;
  /** Made when the value is first computed; values that follow trained parameters are computed at every step. */
  executable: Executable | undefined;
  readonly derived: Derived;
}

const entries = new Map<string, Entry>();

const keyOf = (derived: Derived, device: Device): string => `${device.type}:${device.index} ${derived.key}`;

const isCurrent = ({ value, versions, derived }: Entry): boolean =>
  value !== undefined && derived.parameters.every((p, i) => p.version === versions[i]);

/** Notes that a program uses the value, so that it stays until the last such program is gone. */
export function retainDerived(derived: Derived, device: Device): void {
  const key = keyOf(derived, device);
  const entry = entries.get(key) ?? {
    value: undefined,
    versions: [],
    users: 0,
    executable: undefined,
    derived,
  };
  entry.users++;
  entries.set(key, entry);
}

export function releaseDerived(derived: Derived, device: Device): void {
  const key = keyOf(derived, device);
  const entry = entries.get(key);
  if (entry === undefined || --entry.users > 0) return;
  entry.value?.dispose();
  entries.delete(key);
}

/** Current values, computing those whose parameters have changed since. Stale ones are freed before. */
export async function currentDerived(all: readonly Derived[], device: Device): Promise<DeviceTensor[]> {
  const found = all.map((derived) => {
    const entry = entries.get(keyOf(derived, device));
    if (entry === undefined) throw new Error(`derived value ${derived.key} was not retained`);
    return entry;
  });
  for (const entry of found) {
    if (isCurrent(entry)) continue;
    entry.value?.dispose();
    entry.value = undefined;
  }
  for (const entry of found) if (entry.value === undefined) await compute(entry, device);
  return found.map((entry) => entry.value!);
}

async function compute(entry: Entry, device: Device): Promise<void> {
  const { derived } = entry;
  const executable = (entry.executable ??= new Executable(plan(derived.program), device));
  const constants = uploadConstants(executable.plan, device);
  const loans = new Loans();
  try {
    executable.plan.constants.forEach(({ slot }, i) => loans.handles.set(slot, constants[i]!.handle));
    loans.borrowParameters(executable.plan);
    const versions = derived.parameters.map((p) => p.version);
    entry.value = (await executable.run(loans.handles))[0];
    entry.versions = versions;
  } finally {
    loans.end();
    for (const constant of constants) constant.dispose();
  }
}

/** Frees the values that were computed from a parameter, e.g. before its own memory is needed. */
export function forgetStaleDerived(): void {
  for (const entry of entries.values()) {
    if (entry.value === undefined || isCurrent(entry)) continue;
    entry.value.dispose();
    entry.value = undefined;
  }
}
