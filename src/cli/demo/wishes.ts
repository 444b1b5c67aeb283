/** @file What the command line asks of the demo. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { craftPresets } from "../../craft/index.js";
import { CraftError } from "../../errors.js";
import { integerOption, optionalText, requiredText, type GivenOptions } from "../options.js";
import { chooseRuns, type CraftRun } from "./craft_runs.js";
import { parseTargetLanguage, type TargetLanguage } from "./messages.js";
import { demoTokenizerFolder } from "./translate.js";

export interface Wishes {
  readonly to: TargetLanguage;
  /** Of the model. */
  readonly folder: string;
  /** Whether the model is the one that comes along. */
  readonly own: boolean;
  readonly steps: number;
  readonly seed: number;
  /** At least one. */
  readonly runs: readonly CraftRun[];
  /** Whether presets are compared. */
  readonly presets: boolean;
  readonly report: string;
  readonly markdown: string | undefined;
  /** What gives the same results again, without what is as by default. */
  readonly command: string;
}

/** @throws CraftError for the first option at fault. */
export function readWishes(options: GivenOptions): Wishes {
  const to = parseTargetLanguage(requiredText(options, "to"));
  const model = optionalText(options, "model");
  if (model !== undefined && !existsSync(model))
    throw new CraftError({ subject: "--model", value: model, reason: "does not exist" });
  const given: unknown = options["preset"] ?? [];
  const names = Array.isArray(given) ? given.map(String) : [];
  const runs = chooseRuns(names, requiredText(options, "strategy"));
  const usualSteps = model === undefined ? 400 : 100;
  const steps = integerOption(options, "steps", usualSteps, 1);
  const seed = integerOption(options, "seed", 42, 0);
  const markdown = optionalText(options, "markdown");
  const { strategy } = runs[0]!;
  const presets = runs.flatMap(({ preset }) => preset ?? []);
  const words = [
    ...(presets.length === 0
      ? []
      : [`--preset ${presets.length === craftPresets.length ? "all" : presets.join(",")}`]),
    ...(strategy === "paired_dataset" ? [] : [`--strategy ${strategy}`]),
    ...(to === "es" ? [] : [`--to ${to}`]),
    ...(model === undefined ? [] : [`--model ${model}`]),
    ...(steps === usualSteps ? [] : [`--steps ${steps}`]),
    ...(seed === 42 ? [] : [`--seed ${seed}`]),
  ];
  return {
    to,
    folder: model ?? demoTokenizerFolder,
    own: model === undefined,
    steps,
    seed,
    runs,
    presets: presets.length > 0,
    report: resolve(requiredText(options, "report")),
    markdown: markdown === undefined ? undefined : resolve(markdown),
    command: ["npm run demo", ...(words.length === 0 ? [] : ["--"]), ...words].join(" "),
  };
}
