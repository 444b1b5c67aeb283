/** @file The parts of a dataset that its README.md names: configurations, each with its files. */
import { parse } from "yaml";
import { CraftError } from "../errors.js";
import type { DataFiles } from "./data_files.js";

/** One configuration of a dataset. */
export interface DatasetConfig {
  readonly name: string;
  readonly isDefault: boolean;
  /** By default what the names of files tell. */
  readonly dataFiles: DataFiles | undefined;
  /** The folder that patterns and names count from. */
  readonly dataDir: string | undefined;
}

/** The configurations of a README.md, from the YAML between its first two lines of `---`. */
export function datasetConfigs(readme: string, where: string): readonly DatasetConfig[] {
  const front = /^\uFEFF?---\r?\n([\s\S]*?)\r?\n---/.exec(readme)?.[1];
  if (front === undefined) return [];
  let value: unknown;
  try {
    value = parse(front);
  } catch (cause) {
    throw new CraftError({
      subject: where,
      reason: `its YAML header cannot be read (${String(cause)})`,
      cause,
    });
  }
  const configs = (value as { configs?: unknown } | null)?.configs;
  if (!Array.isArray(configs)) return [];
  return configs.map((config: unknown) => {
    const given = (config ?? {}) as Record<string, unknown>;
    return {
      name: typeof given["config_name"] === "string" ? given["config_name"] : "default",
      isDefault: given["default"] === true,
      dataFiles: (given["data_files"] ?? undefined) as DataFiles | undefined,
      dataDir: typeof given["data_dir"] === "string" ? given["data_dir"] : undefined,
    };
  });
}

/**
 * The configuration that is meant: the one named, else the default one, else the only one.
 *
 * @throws {@link CraftError} naming those there are.
 */
export function chosenConfig(
  configs: readonly DatasetConfig[],
  name: string | undefined,
  where: string,
): DatasetConfig | undefined {
  const names = configs.map((config) => config.name);
  if (name !== undefined) {
    const found = configs.find((config) => config.name === name);
    if (found !== undefined || (configs.length === 0 && name === "default")) return found;
    throw new CraftError({
      subject: "name",
      value: name,
      reason: `${where} has no such configuration; it has ${names.length === 0 ? "default only" : names.join(", ")}`,
    });
  }
  const found =
    configs.find(({ isDefault }) => isDefault) ??
    configs.find((config) => config.name === "default") ??
    (configs.length === 1 ? configs[0] : undefined);
  if (found !== undefined || configs.length === 0) return found;
  throw new CraftError({
    subject: "name",
    reason: `${where} has several configurations, and none is the default one`,
    remedy: `Name one of ${names.join(", ")}`,
  });
}
