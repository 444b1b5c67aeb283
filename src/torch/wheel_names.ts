import { CraftError } from "../errors.js";
import { SUPPORTED_RANGE } from "./versions.js";

/** Where PyTorch publishes its CPU builds; `CRAFT_LIBTORCH_URL` names a mirror of it. */
export const WHEEL_HOST = "https://download.pytorch.org/whl/cpu";

/** Which build of torch fits a platform. */
export interface WheelTarget {
  /** What pip is asked for, such as `torch==2.13.0+cpu`. */
  readonly requirement: string;
  /** Platform tags for pip, best first. */
  readonly platformTags: readonly string[];
  /** File name on the wheel host, for CPython 3.11: the Python version does not matter to the libraries. */
  readonly fileName: string;
  /** Known hash of that file, hexadecimal. */
  readonly sha256?: string;
}

// Taken from the wheel host's index of 2.13.0.
const hashes: Readonly<Record<string, string>> = {
  "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl":
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
  "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_aarch64.whl":
    "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",
  "torch-2.13.0+cpu-cp311-cp311-win_amd64.whl":
    "10717d8b3b67c45a4788bf7ffc0bab1ea1e5ebbedd24466be6100102d141fac1",
  "torch-2.13.0+cpu-cp311-cp311-win_arm64.whl":
    "2b3d093abd919ad934c43d47e73ba63ceba7cbd7269fc2e9c1e4fc29e8fe45fa",
  "torch-2.13.0-cp311-cp311-macosx_14_0_arm64.whl":
    "e76f9bcecc52b8ff711239a2f7547d5353df95878ab232f0773c1d95928b92f8",
};

const platformTags: Readonly<Record<string, readonly string[]>> = {
  "linux x64": ["manylinux_2_28_x86_64", "linux_x86_64"],
  "linux arm64": ["manylinux_2_28_aarch64", "linux_aarch64"],
  "win32 x64": ["win_amd64"],
  "win32 arm64": ["win_arm64"],
  "darwin arm64": ["macosx_14_0_arm64"],
};

// The macOS wheels changed their tags from release to release.
const macosTags: Readonly<Record<string, string>> = {
  "2.10": "cp311-none-macosx_11_0_arm64",
  "2.11": "cp311-cp311-macosx_11_0_arm64",
};

/**
 * The CPU build of torch for a platform.
 *
 * @param version three numbers, such as 2.13.0.
 * @throws CraftError when PyTorch publishes no build for the platform.
 */
export function wheelTarget(
  version: string,
  platform: NodeJS.Platform = process.platform,
  arch: string = process.arch,
): WheelTarget {
  const tags = platformTags[`${platform} ${arch}`];
  const [tag] = tags ?? [];
  if (tags === undefined || tag === undefined) {
    throw new CraftError({
      subject: "platform",
      value: `${platform} ${arch}`,
      reason: `PyTorch publishes no CPU build for it (only for ${Object.keys(platformTags).join(", ")})`,
      remedy: `If you have built libtorch ${SUPPORTED_RANGE} yourself, name its folder in CRAFT_LIBTORCH.`,
    });
  }
  // On macOS the plain build is the CPU build; elsewhere the plain build needs gigabytes of CUDA libraries.
  const build = platform === "darwin" ? version : `${version}+cpu`;
  const python = platform === "darwin" ? macosTags[version.split(".").slice(0, 2).join(".")] : undefined;
  const fileName = `torch-${build}-${python ?? `cp311-cp311-${tag}`}.whl`;
  const sha256 = hashes[fileName];
  return {
    requirement: `torch==${build}`,
    platformTags: tags,
    fileName,
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}

/** Whether a wheel with these tags runs on a platform, judged by the processor and system in the tag. */
export function fitsPlatform(
  tags: readonly string[],
  platform: NodeJS.Platform = process.platform,
  arch: string = process.arch,
): boolean {
  const system: Partial<Record<NodeJS.Platform, RegExp>> = {
    linux: /linux/,
    darwin: /macosx/,
    win32: /^win/,
  };
  const processor: Readonly<Record<string, RegExp>> = { x64: /(x86_64|amd64)$/, arm64: /(aarch64|arm64)$/ };
  return tags.some((tag) => {
    const last = tag.split("-").at(-1) ?? "";
    return (system[platform]?.test(last) ?? false) && (processor[arch]?.test(last) ?? false);
  });
}
