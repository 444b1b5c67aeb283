/** @file What the configurations of all CRAFT trainers have in common. */
import { z } from "zod";
import { camelCaseKeys, parseOptions } from "../../training/arguments.js";
import type { CraftStrategy } from "../data/bundle.js";
import { autoOptions, type CraftFacts } from "./auto.js";
import { checkCraftArguments, checkStrategy, withoutEffect, type CheckedArguments } from "./checks.js";
import { explain, type Explanation, type Origins } from "./explain.js";
import { craftFields } from "./fields.js";
import { presetBeside, type CraftOptions } from "./presets.js";

/** Options by name, as a run file gives them. */
export type OptionRecord = Readonly<Record<string, unknown>>;

/** A configuration's class. */
type ConfigClass<C> = new (options: OptionRecord, origins?: Origins) => C;

/** The options of a trainer together with CRAFT's, checked, and where each comes from. */
export abstract class CraftConfig<V extends CheckedArguments> {
  readonly values: V;
  readonly #given: ReadonlySet<string>;
  readonly #origins: Origins;

  /**
   * @param origins for options that the user did not give
   * @throws CraftError naming the first option at fault: unknown, out of range, or without a meaning beside the others.
   */
  protected constructor(
    schema: z.ZodObject & z.ZodType<V>,
    name: string,
    options: OptionRecord,
    origins: Origins,
  ) {
    this.values = parseOptions(schema, options, name);
    this.#origins = origins;
    this.#given = new Set(Object.keys(camelCaseKeys(options)).filter((option) => !(option in origins)));
    checkCraftArguments(this.values, this.#given);
  }

  /** Every option with its value and where that comes from: `console.log(String(args.explain()))`. */
  explain(): Explanation {
    return explain(Object.fromEntries(Object.entries(this.values)), this.#given, this.#origins);
  }

  /** @throws CraftError for options that mean nothing where pairs come from `strategy`. */
  requireStrategy(strategy: CraftStrategy): void {
    checkStrategy(this.values, strategy, this.#given);
  }

  /**
   * The options of a preset with others on top; see {@link craftPresets}.
   *
   * @throws CraftError for an unknown preset, and as the constructor does.
   * @example
   * const args = CRAFTSFTConfig.fromPreset("balanced", { outputDir: "out", craftTemperature: 0.1 });
   */
  static fromPreset<C>(this: ConfigClass<C>, preset: string, overrides: CraftOptions | OptionRecord = {}): C {
    return assemble(this, preset, {}, overrides);
  }

  /**
   * Options chosen for a model, its data and the memory that is free, with others on top: "balanced" as a start, and a
   * chunk size, a queue and a projection that fit. `explain` says why of each.
   *
   * @throws CraftError as the constructor does.
   */
  static auto<C>(this: ConfigClass<C>, facts: CraftFacts, overrides: CraftOptions | OptionRecord = {}): C {
    return assemble(this, "balanced", autoOptions(facts, camelCaseKeys({ ...overrides })), overrides);
  }
}

type Chosen = Readonly<Record<string, { readonly value: unknown; readonly reason: string }>>;

function assemble<C>(config: ConfigClass<C>, preset: string, chosen: Chosen, overrides: object): C {
  const given: Record<string, unknown> = camelCaseKeys({ ...overrides });
  const names = new Set(Object.keys(given));
  const options: Record<string, unknown> = { ...presetBeside(preset, names) };
  const origins: Record<string, Origins[string]> = {};
  for (const name of Object.keys(options)) origins[name] = { source: "preset", preset };
  for (const [name, { value, reason }] of Object.entries(chosen)) {
    options[name] = value;
    origins[name] = { source: "auto", reason };
  }
  Object.assign(options, given);
  for (const name of names) delete origins[name];
  // What the overrides have switched off does not keep the details of its preset.
  const parsed = z.object(craftFields).safeParse(options);
  const idle = parsed.success ? withoutEffect(parsed.data, new Set(Object.keys(origins))) : [];
  for (const { option } of idle) {
    delete options[option];
    delete origins[option];
  }
  return new config(options, origins);
}
