import { posix } from "node:path";

/** What a release of libtorch was built for. */
export type LibraryDevice = "cpu" | "cuda";

interface PlatformFiles {
  /** Loaded in this order; without any of them nothing works. */
  readonly required: readonly string[];
  readonly cuda: string;
  readonly isLibrary: RegExp;
}

const files: Partial<Record<NodeJS.Platform, PlatformFiles>> = {
  linux: {
    required: ["libc10.so", "libtorch_cpu.so"],
    cuda: "libtorch_cuda.so",
    isLibrary: /\.so(\.[\d.]+)?$/,
  },
  darwin: {
    required: ["libc10.dylib", "libtorch_cpu.dylib"],
    cuda: "libtorch_cuda.dylib",
    isLibrary: /\.dylib$/,
  },
  win32: { required: ["c10.dll", "torch_cpu.dll"], cuda: "torch_cuda.dll", isLibrary: /\.dll$/i },
};

// Parts of a wheel that only Python or PyTorch's own tests load: a third of it on disk.
const unwanted =
  /^(lib)?(torch|torch_global_deps|torch_python|shm|torchbind_test|jitbackend_test|backend_with_compiler|aoti_custom_ops|caffe2_.*)\.(so|dylib|dll)$/i;

function forPlatform(platform: NodeJS.Platform): PlatformFiles {
  return (
    files[platform] ?? {
      required: ["libc10.so", "libtorch_cpu.so"],
      cuda: "libtorch_cuda.so",
      isLibrary: /\.so/,
    }
  );
}

/** The files that a folder must hold to be libtorch, in the order in which they are loaded. */
export function requiredLibraries(platform: NodeJS.Platform = process.platform): readonly string[] {
  return forPlatform(platform).required;
}

/** The file whose presence makes a folder a CUDA build. */
export function cudaLibrary(platform: NodeJS.Platform = process.platform): string {
  return forPlatform(platform).cuda;
}

/** Whether a file name is that of a shared library that libtorch may need, so not Python's or a test's. */
export function isWantedLibrary(name: string, platform: NodeJS.Platform = process.platform): boolean {
  return forPlatform(platform).isLibrary.test(name) && !unwanted.test(name);
}

/**
 * Whether a wheel's entry belongs to libtorch. Some platforms keep libraries that libtorch_cpu is linked to
 * in a folder of their own beside the package; the layout is kept, since the libraries find each other by it.
 */
export function isWantedEntry(entry: string, platform: NodeJS.Platform = process.platform): boolean {
  const folder = posix.dirname(entry);
  return (
    ["torch/lib", "torch/.dylibs", "torch.libs"].includes(folder) &&
    isWantedLibrary(posix.basename(entry), platform)
  );
}
