/**
 * @file The C functions of libtorch's stable ABI, bound with koffi.
 *
 * Sources: torch/csrc/stable/c/shim.h and torch/csrc/inductor/aoti_torch/c/shim.h of libtorch 2.10 to 2.13.
 * Every pointer crosses as a plain number: addresses fit in 48 bits, and numbers cost less than BigInts.
 */
import { keepFreedBlocks } from "./allocator.js";
import koffi, { type LibraryHandle } from "koffi";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";

/** The address of a native object: a tensor, a list, a string or a block of memory. */
export type Address = number;

type Status = number;

/** The functions that the rest of this folder calls. Each returns 0 when it worked unless its type says otherwise. */
export interface Library {
  readonly libDir: string;
  /** Version of the loaded library as 0xMMmmpp0000000000. */
  readonly abiVersion: number;
  readonly hasCuda: boolean;

  callDispatcher(name: Address, overload: Address, stack: Address, version: number): Status;
  newTensorHandle(tensor: Address, out: Address): Status;
  deleteTensor(tensor: Address): Status;
  emptyStrided(
    ndim: number,
    sizes: Address,
    strides: Address,
    dtype: number,
    deviceType: number,
    deviceIndex: number,
    out: Address,
  ): Status;
  reinterpret(
    tensor: Address,
    ndim: number,
    sizes: Address,
    strides: Address,
    offset: number,
    out: Address,
  ): Status;
  copyInto(destination: Address, source: Address, nonBlocking: number): Status;
  getDataPtr(tensor: Address, out: Address): Status;
  getDim(tensor: Address, out: Address): Status;
  getSizes(tensor: Address, out: Address): Status;
  getStrides(tensor: Address, out: Address): Status;
  getDtype(tensor: Address, out: Address): Status;
  getDeviceType(tensor: Address, out: Address): Status;
  newList(size: number, out: Address): Status;
  pushBack(list: Address, value: number): Status;
  listSize(list: Address, out: Address): Status;
  listItem(list: Address, index: number, out: Address): Status;
  deleteList(list: Address): Status;
  newString(data: Address, length: number, out: Address): Status;
  newIValue(out: Address): Status;
  addTensor(a: Address, b: Address, alpha: number, out: Address): Status;
  subtractTensor(a: Address, b: Address, alpha: number, out: Address): Status;
  /** Product with a packed weight; undefined in libraries without oneDNN. `bias` points to a handle or is 0. */
  readonly linearPointwise:
    | ((
        x: Address,
        weight: Address,
        bias: Address,
        activation: Address,
        scalars: Address,
        scalarCount: number,
        algorithm: Address,
        out: Address,
      ) => Status)
    | undefined;
  fill(tensor: Address, value: number): Status;
  zero(tensor: Address): Status;
  numThreads(out: Address): Status;
  memcpy(destination: Address, source: Address, bytes: number): Address;
  malloc(bytes: number): Address;

  /** The message of the last failed call, where the library offers it (2.13 on). */
  lastError(): string;
}

const libraryName = (base: string): string =>
  process.platform === "win32"
    ? `${base}.dll`
    : process.platform === "darwin"
      ? `lib${base}.dylib`
      : `lib${base}.so`;

function openC(): LibraryHandle {
  if (process.platform === "win32") return koffi.load("ucrtbase.dll");
  return koffi.load(process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6");
}

/** Opens the libtorch in `libDir` and binds its functions. The library must have been verified before. */
export function openLibrary(libDir: string): Library {
  keepFreedBlocks();
  const path = join(libDir, libraryName("torch_cpu"));
  let lib: LibraryHandle;
  try {
    lib = koffi.load(path);
  } catch (cause) {
    throw new CraftError({
      subject: "libtorch",
      value: path,
      reason: `could not be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy: "Run `craft doctor` to see what is wrong, or `craft install` to fetch a fresh copy.",
      cause,
    });
  }
  const cudaPath = join(libDir, libraryName("torch_cuda"));
  const hasCuda = existsSync(cudaPath);
  if (hasCuda) koffi.load(cudaPath);

  const c = openC();
  const bind = <F extends (...args: never[]) => unknown>(declaration: string): F => {
    const bound: unknown = lib.func(declaration);
    return bound as F;
  };
  const optional = <F extends (...args: never[]) => unknown>(declaration: string): F | undefined => {
    try {
      return bind<F>(declaration);
    } catch {
      return undefined;
    }
  };

  const malloc = c.func("uint64_t malloc(uint64_t)") as (bytes: number) => Address;
  const abiVersion = Number(bind<() => number | bigint>("uint64_t aoti_torch_abi_version()")());
  const what = optional<() => string>("const char *torch_exception_get_what_without_backtrace()");
  const newIValue = optional<Library["newIValue"]>("int32_t torch_new_stable_ivalue(uint64_t)");
  bind<(on: boolean) => void>("void aoti_torch_grad_mode_set_enabled(bool)")(false);
  const memcpy = c.func("uint64_t memcpy(uint64_t, uint64_t, uint64_t)") as Library["memcpy"];

  return {
    libDir,
    abiVersion,
    hasCuda,
    callDispatcher: bind("int32_t torch_call_dispatcher(uint64_t, uint64_t, uint64_t, uint64_t)"),
    newTensorHandle: bind("int32_t aoti_torch_new_tensor_handle(uint64_t, uint64_t)"),
    deleteTensor: bind("int32_t aoti_torch_delete_tensor_object(uint64_t)"),
    emptyStrided: bind(
      "int32_t aoti_torch_empty_strided(int64_t, uint64_t, uint64_t, int32_t, int32_t, int32_t, uint64_t)",
    ),
    reinterpret: bind(
      "int32_t aoti_torch__reinterpret_tensor(uint64_t, int64_t, uint64_t, uint64_t, int64_t, uint64_t)",
    ),
    copyInto: bind("int32_t aoti_torch_copy_(uint64_t, uint64_t, int32_t)"),
    getDataPtr: bind("int32_t aoti_torch_get_data_ptr(uint64_t, uint64_t)"),
    getDim: bind("int32_t aoti_torch_get_dim(uint64_t, uint64_t)"),
    getSizes: bind("int32_t aoti_torch_get_sizes(uint64_t, uint64_t)"),
    getStrides: bind("int32_t aoti_torch_get_strides(uint64_t, uint64_t)"),
    getDtype: bind("int32_t aoti_torch_get_dtype(uint64_t, uint64_t)"),
    getDeviceType: bind("int32_t aoti_torch_get_device_type(uint64_t, uint64_t)"),
    newList: bind("int32_t torch_new_list_reserve_size(uint64_t, uint64_t)"),
    pushBack: bind("int32_t torch_list_push_back(uint64_t, int64_t)"),
    listSize: bind("int32_t torch_list_size(uint64_t, uint64_t)"),
    listItem: bind("int32_t torch_list_get_item(uint64_t, uint64_t, uint64_t)"),
    deleteList: bind("int32_t torch_delete_list(uint64_t)"),
    newString: bind("int32_t torch_new_string_handle(uint64_t, uint64_t, uint64_t)"),
    newIValue: newIValue ?? mallocIValue(malloc, memcpy),
    addTensor: bind("int32_t aoti_torch_cpu_add_Tensor(uint64_t, uint64_t, double, uint64_t)"),
    subtractTensor: bind("int32_t aoti_torch_aten_subtract_Tensor(uint64_t, uint64_t, double, uint64_t)"),
    linearPointwise: optional(
      "int32_t aoti_torch_cpu__linear_pointwise(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, int64_t, uint64_t, uint64_t)",
    ),
    fill: bind("int32_t aoti_torch_aten_fill__Scalar(uint64_t, double)"),
    zero: bind("int32_t aoti_torch_zero_(uint64_t)"),
    numThreads: bind("int32_t torch_get_num_threads(uint64_t)"),
    memcpy,
    malloc,
    lastError: () => what?.() ?? "libtorch below 2.13 prints the reason to stderr and does not hand it over",
  };
}

/**
 * Before 2.13 the ABI has no allocator for optional values; the callee frees them with C++ `delete`, which is
 * `free` in the C++ runtimes that libtorch is built with.
 */
function mallocIValue(malloc: Library["malloc"], memcpy: Library["memcpy"]): Library["newIValue"] {
  const cell = new ArrayBuffer(64);
  const address = Number(koffi.address(cell));
  const view = new BigUint64Array(cell);
  return (out) => {
    view[0] = BigInt(malloc(8));
    memcpy(out, address, 8);
    return 0;
  };
}

/** A window on native memory: reads and writes go straight to the block at `address`. Keep no reference past its life. */
export function viewNative(address: Address, bytes: number): ArrayBuffer {
  return koffi.view(BigInt(address), bytes);
}

/** The address of a JavaScript buffer. Keep the buffer referenced while native code may use it. */
export function addressOf(buffer: ArrayBuffer): Address {
  return Number(koffi.address(buffer));
}
