import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";

/** The version that is installed when none is asked for. */
export const DEFAULT_VERSION = "2.13.0";

/** Oldest and newest minor release of libtorch 2 that this package was tried with. */
export const OLDEST_MINOR = 10;
export const NEWEST_MINOR = 13;
export const SUPPORTED_RANGE = `2.${OLDEST_MINOR} to 2.${NEWEST_MINOR}`;

const NUMBERS = /^(\d+)\.(\d+)(?:\.(\d+))?((?:a|b|rc|\.dev|\.post|\+).*)?$/;

/** A version split into its numbers, or undefined when the text is not a version. */
export function parseVersion(
  version: string,
): { readonly major: number; readonly minor: number; readonly patch: number } | undefined {
  const found = NUMBERS.exec(version.trim());
  if (found === null) return undefined;
  return { major: Number(found[1]), minor: Number(found[2]), patch: Number(found[3] ?? 0) };
}

/** Why a version cannot be used, or undefined when it can. */
export function versionProblem(version: string): string | undefined {
  const parsed = parseVersion(version);
  if (parsed === undefined)
    return `"${version}" is not a version number; versions ${SUPPORTED_RANGE} are supported`;
  const { major, minor } = parsed;
  if (major < 2 || (major === 2 && minor < OLDEST_MINOR)) {
    return `version ${version} is too old: the stable C interface used here begins with 2.${OLDEST_MINOR}`;
  }
  if (major > 2 || minor > NEWEST_MINOR) {
    return `version ${version} is unknown: this package was tried with ${SUPPORTED_RANGE}`;
  }
  return undefined;
}

/** Orders versions from newest to oldest; what is not a version comes last. */
export function newestFirst(a: string, b: string): number {
  const [x, y] = [parseVersion(a), parseVersion(b)];
  if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined);
  return y.major - x.major || y.minor - x.minor || y.patch - x.patch;
}

/**
 * The version that a library tells of itself through `aoti_torch_abi_version`: major, minor and patch
 * stand in its three highest bytes (torch/headeronly/version.h).
 */
export function versionOfAbi(abi: bigint): string {
  const byte = (shift: bigint): string => String((abi >> shift) & 0xffn);
  return `${byte(56n)}.${byte(48n)}.${byte(40n)}`;
}

/**
 * Reads which version lies in a folder of libraries without loading anything. It looks at
 * `version.py` beside the folder (a Python package), `build-version` (the C++ distribution), and the
 * `torch-*.dist-info/METADATA` of the Python environment.
 *
 * @returns undefined when none of them tells.
 */
export function readVersion(libDir: string): string | undefined {
  const root = dirname(libDir);
  return (
    capture(join(root, "version.py"), /^__version__\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]/m) ??
    capture(join(root, "build-version"), /^\s*(\S+)\s*$/) ??
    readMetadata(dirname(root))
  );
}

function readMetadata(sitePackages: string): string | undefined {
  let names: string[];
  try {
    names = readdirSync(sitePackages).filter((name) => /^torch-[^-]+\.dist-info$/.test(name));
  } catch {
    return undefined;
  }
  // Two of them are left behind by broken upgrades; then neither can be believed.
  const [only, ...others] = names;
  if (only === undefined || others.length > 0) return undefined;
  return capture(join(sitePackages, only, "METADATA"), /^Version:\s*(\S+)/m);
}

function capture(file: string, pattern: RegExp): string | undefined {
  try {
    return pattern.exec(readFileSync(file, "utf8"))?.[1];
  } catch {
    return undefined;
  }
}
