/** @file Where the value of each option comes from. */
import { optionName } from "../../training/arguments.js";

/** What set an option that the user did not. */
export type Origin =
  | { readonly source: "preset"; readonly preset: string }
  | { readonly source: "auto"; readonly reason: string };

/** Origins by the option's name in camelCase. */
export type Origins = Readonly<Record<string, Origin>>;

export interface ExplainedOption {
  /** As it is called in files, e.g. `craft_alpha`. */
  readonly option: string;
  readonly value: unknown;
  readonly source: "default" | "given" | "preset" | "auto";
  /** Why, in words. */
  readonly reason: string;
}

/** Every option with its value and where that comes from. As text, one line each. */
export class Explanation {
  readonly options: readonly ExplainedOption[];

  constructor(options: readonly ExplainedOption[]) {
    this.options = options;
  }

  /** The entry of an option, by its name in either spelling. */
  of(name: string): ExplainedOption | undefined {
    return this.options.find(({ option }) => option === optionName(name));
  }

  toString(): string {
    const cells = this.options.map(({ option, value, reason }) => [option, shown(value), reason] as const);
    const widest = (column: 0 | 1): number => Math.max(...cells.map((cell) => cell[column].length));
    const [names, values] = [widest(0), widest(1)];
    return cells
      .map(([option, value, reason]) => `${option.padEnd(names)}  ${value.padEnd(values)}  ${reason}`)
      .join("\n");
  }
}

export function explain(
  values: Readonly<Record<string, unknown>>,
  given: ReadonlySet<string>,
  origins: Origins,
): Explanation {
  return new Explanation(
    Object.entries(values).map(([name, value]) => {
      const option = optionName(name);
      if (given.has(name)) return { option, value, source: "given", reason: "given" };
      const origin = origins[name];
      if (origin === undefined) return { option, value, source: "default", reason: "default" };
      if (origin.source === "preset")
        return { option, value, source: "preset", reason: `preset ${origin.preset}` };
      return { option, value, source: "auto", reason: `auto: ${origin.reason}` };
    }),
  );
}

const shown = (value: unknown): string => (value === undefined ? "none" : JSON.stringify(value));
