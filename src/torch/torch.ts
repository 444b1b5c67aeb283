import { CraftError } from "../errors.js";
import { cpu, type Device } from "./device.js";
import { Dispatcher } from "./dispatcher.js";
import { openLibrary, type Library } from "./library.js";
import { ensureLibtorch } from "./locate.js";
import { NativeMemory } from "./native_memory.js";

export interface TorchOptions {
  /** Folder that holds libtorch_cpu; found or installed when left out. */
  readonly libDir?: string;
}

/** A loaded libtorch. There is one in a process. */
export interface Torch {
  readonly library: Library;
  readonly dispatcher: Dispatcher;
  readonly version: string;
}

let loading: Promise<Torch> | undefined;
let loaded: Torch | undefined;

/**
 * Finds, verifies and loads libtorch, installing it on first use. Later calls return the same one.
 *
 * @throws CraftError if none can be found or loaded; the message lists each place that was tried.
 */
export function loadTorch(options: TorchOptions = {}): Promise<Torch> {
  loading ??= open(options).catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function open(options: TorchOptions): Promise<Torch> {
  const location = await ensureLibtorch(options.libDir === undefined ? {} : { libDir: options.libDir });
  const library = openLibrary(location.libDir);
  loaded = { library, dispatcher: new Dispatcher(library), version: location.version };
  return loaded;
}

/** The loaded libtorch. Call after {@link loadTorch}. */
export function torch(): Torch {
  if (loaded === undefined) {
    throw new CraftError({
      subject: "libtorch",
      reason: "is not loaded yet",
      remedy: "Await loadTorch() before you work with tensors outside a compiled function.",
    });
  }
  return loaded;
}

const cell = new NativeMemory(64);

/** Threads that libtorch's own pool uses; set OMP_NUM_THREADS before the start to change it. */
export function numThreads(): number {
  torch().library.numThreads(cell.at(0));
  return cell.readInt32(0);
}

/** Checks that the library can compute on the device. */
export function requireDevice(device: Device): Device {
  if (device.type === "cuda" && !torch().library.hasCuda) {
    throw new CraftError({
      subject: "device",
      value: device.type,
      reason: "the libtorch in use was built for the CPU only",
      remedy: "Point CRAFT_LIBTORCH to a build with CUDA, or use the device cpu.",
    });
  }
  return device;
}

export const defaultDevice: Device = cpu;
