/** @file Run files: YAML or JSON, with options from the command line on top. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { CraftError } from "../errors.js";

/** Reads a run file: a mapping of options. */
export function readRunFile(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new CraftError({
      subject: "--config",
      value: path,
      reason: "cannot be read",
      remedy: "Name an existing YAML or JSON file.",
      cause,
    });
  }
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new CraftError({
      subject: path,
      reason: `is not valid YAML: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CraftError({ subject: path, reason: "must be a mapping of options, such as `max_steps: 40`" });
  }
  return { ...value };
}

/** Options given as `--name value` or `--name=value`; values are read as YAML, so that numbers and lists come as such. */
export function commandLineOptions(args: readonly string[]): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    const match = /^--([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(arg);
    if (match === null) {
      throw new CraftError({
        subject: "command line",
        value: arg,
        reason: "is not an option",
        remedy: "Write --name value.",
      });
    }
    const next = args[i + 1];
    const follows = match[2] === undefined && next !== undefined && !next.startsWith("--");
    const text = match[2] ?? (follows ? next : "true");
    if (follows) i++;
    options[match[1]!.replaceAll("-", "_")] = parse(text) as unknown;
  }
  return options;
}
