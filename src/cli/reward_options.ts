/** @file The rewards that a run file names: built-in ones, functions of a module, models. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { contrastiveReward, poolings } from "../craft/index.js";
import { CraftError } from "../errors.js";
import { AutoModelForSequenceClassification } from "../models/index.js";
import { AutoTokenizer } from "../text/index.js";
import {
  exactAnswer,
  formatReward,
  jsonSchemaReward,
  lengthReward,
  numericAnswer,
  rewardModel,
  softOverlongPunishment,
  type NamedReward,
  type Reward,
} from "../trainers/index.js";
import { parseOptions } from "../training/index.js";
import type { DType } from "../torch/dtype.js";
import { locate } from "./run_data.js";

const text = z.string().min(1);

/** Makes a built-in reward of its options, checked. */
const builtin =
  <S extends z.ZodObject>(schema: S, make: (options: z.output<S>) => NamedReward) =>
  (options: Readonly<Record<string, unknown>>, name: string): NamedReward =>
    make(parseOptions(schema, options, `reward ${name}`));

const answer = { column: text.optional(), extract: text.optional() };

const builtins = {
  exact_answer: builtin(z.strictObject({ ...answer, caseSensitive: z.boolean().optional() }), exactAnswer),
  numeric_answer: builtin(z.strictObject({ ...answer, tolerance: z.number().optional() }), numericAnswer),
  format: builtin(z.strictObject({ pattern: text.optional() }), formatReward),
  length: builtin(
    z.strictObject({
      min: z.number().optional(),
      max: z.number().optional(),
      margin: z.number().optional(),
      unit: z.enum(["tokens", "characters", "words"]).optional(),
    }),
    lengthReward,
  ),
  soft_overlong_punishment: builtin(
    z.strictObject({ maxCompletionLength: z.number(), softPunishCache: z.number() }),
    softOverlongPunishment,
  ),
  json_schema: builtin(
    z.strictObject({
      schema: z.record(z.string(), z.unknown()).optional(),
      column: text.optional(),
      parseable: z.number().optional(),
    }),
    jsonSchemaReward,
  ),
  contrastive: builtin(
    z.strictObject({ column: text.optional(), pooling: z.enum(poolings).optional() }),
    contrastiveReward,
  ),
};

const isBuiltin = (name: string): name is keyof typeof builtins => Object.hasOwn(builtins, name);

const entry = z.union([text, z.looseObject({ name: text })], {
  error: "must be the names of rewards or modules, or mappings with a name and options",
});

/** Fields of a run file. */
const rewardFields = {
  rewardFuncs: z.union([entry, z.array(entry).min(1)]).optional(),
  rewardModelPath: text.optional(),
};
const schema = z.strictObject(rewardFields);

type RewardOptions = z.output<typeof schema>;

/** The rewards of a run: what the run file says of them, and then the rewards. */
export class RunRewards {
  #options: RewardOptions | undefined;
  #opened: readonly Reward[] = [];

  /** Takes the options about rewards out of the others. @throws CraftError if there are none. */
  take(given: Record<string, unknown>): void {
    this.#options = takeRewards(given);
  }

  async open(folder: string, dtype: DType | "auto"): Promise<void> {
    this.#opened = await openRewards(this.#options!, folder, dtype);
  }

  get opened(): readonly Reward[] {
    return this.#opened;
  }
}

function takeRewards(given: Record<string, unknown>): RewardOptions {
  const own: Record<string, unknown> = {};
  for (const name of Object.keys(rewardFields)) {
    if (name in given) own[name] = given[name];
    delete given[name];
  }
  const rewards = parseOptions(schema, own, "run file");
  if (rewards.rewardFuncs !== undefined || rewards.rewardModelPath !== undefined) return rewards;
  throw new CraftError({
    subject: "reward_funcs",
    reason: "is missing, and without rewards there is nothing to learn",
    remedy: `Name built-in ones (${Object.keys(builtins).join(", ")}) or a module, or give reward_model_path.`,
  });
}

async function openRewards(
  { rewardFuncs = [], rewardModelPath }: RewardOptions,
  folder: string,
  dtype: DType | "auto",
): Promise<Reward[]> {
  const rewards: Reward[] = [];
  for (const one of Array.isArray(rewardFuncs) ? rewardFuncs : [rewardFuncs]) {
    const { name, ...options } = typeof one === "string" ? { name: one } : one;
    if (isBuiltin(name)) rewards.push(builtins[name](options, name));
    else rewards.push(...(await fromModule(name, folder)));
  }
  if (rewardModelPath !== undefined) {
    const path = locate(rewardModelPath, folder, "reward_model_path");
    const model = await AutoModelForSequenceClassification.fromPretrained(path, { dtype });
    rewards.push(rewardModel(model, { tokenizer: await AutoTokenizer.fromPretrained(path) }));
  }
  return rewards;
}

/** All rewards that a module exports, or the one behind `#`. */
async function fromModule(name: string, folder: string): Promise<Reward[]> {
  const [path = "", only] = name.split("#");
  const file = [resolve(path), resolve(folder, path)].find((place) => existsSync(place));
  if (file === undefined || !/\.[cm]?[jt]s$/.test(path))
    throw new CraftError({
      subject: "reward_funcs",
      value: name,
      reason: "is neither a built-in reward nor a module that exists",
      remedy: `Built in are ${Object.keys(builtins).join(", ")}; a module is a .js or .ts file, perhaps with #function.`,
    });
  const exported = Object.entries(await importModule(file));
  const found = exported
    .filter(([key]) => only === undefined || key === only)
    .map(([key, value]) => asReward(key, value))
    .filter((reward) => reward !== undefined);
  if (found.length > 0) return found;
  throw new CraftError({
    subject: "reward_funcs",
    value: name,
    reason: `exports no ${only === undefined ? "reward" : `reward ${only}`}; its exports are ${exported.map(([key]) => key).join(", ") || "none"}`,
    remedy: "Export functions, or objects { name, score }.",
  });
}

function asReward(name: string, value: unknown): Reward | undefined {
  if (typeof value === "function") {
    const score = value as NamedReward["score"];
    return { name: name === "default" ? value.name || "default" : name, score };
  }
  const isNamed = typeof value === "object" && value !== null && "score" in value && "name" in value;
  return isNamed && typeof value.name === "string" && typeof value.score === "function"
    ? { name: value.name, score: value.score as NamedReward["score"] }
    : undefined;
}

/** Modules in TypeScript are translated beside where they are, so that what they import is found. */
async function importModule(file: string): Promise<Record<string, unknown>> {
  const load = async (path: string): Promise<Record<string, unknown>> =>
    (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  try {
    if (!/\.[cm]?ts$/.test(file)) return await load(file);
    const { default: typescript } = await import("typescript");
    const { ModuleKind, ScriptTarget } = typescript;
    const { outputText } = typescript.transpileModule(readFileSync(file, "utf8"), {
      compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 },
    });
    const translated = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString("hex")}.mjs`);
    try {
      writeFileSync(translated, outputText);
      return await load(translated);
    } finally {
      rmSync(translated, { force: true });
    }
  } catch (cause) {
    throw new CraftError({
      subject: "reward_funcs",
      value: file,
      reason: `cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    });
  }
}
