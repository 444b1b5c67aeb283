/** @file `--dry-run`: what a run would be, without training anything. */
import { bucketSize, type Dataset } from "../../data/index.js";
import { pretrainedFolder } from "../../hub/index.js";
import { AutoModelForCausalLM, readConfig } from "../../models/index.js";
import type { LoraOptions } from "../../peft/index.js";
import { attachWithoutValues } from "../../peft/without_values.js";
import type { Tokenizer } from "../../text/index.js";
import { trainingMemory } from "../../trainers/memory.js";
import { optionName } from "../../training/index.js";
import type { RunArguments, SampleRow } from "./recipe.js";

export interface DryRun {
  readonly command: string;
  readonly values: RunArguments;
  /** Prepares a row. */
  readonly sample: (row: object, where: string) => SampleRow | undefined;
  readonly textsPerRow: number;
  /** Tokens of each text beside those of the sample. */
  readonly moreTokens: number;
  readonly model: string;
  readonly tokenizer: Tokenizer;
  readonly trainDataset: Dataset<object>;
  readonly peftConfig: LoraOptions | undefined;
  readonly json: boolean;
}

const shownRows = 2;
/** Rows that are looked at for the length of a micro-batch. */
const measuredRows = 256;

/** Prints the options, the first rows with what is predicted of them, and what memory a step needs. */
export async function dryRun(run: DryRun): Promise<number> {
  const { values, model, tokenizer, trainDataset, peftConfig, json } = run;
  const config = Object.fromEntries(Object.entries(values).map(([name, value]) => [optionName(name), value]));
  const rows: SampleRow[] = [];
  let longest = 1;
  for (let i = 0; i < Math.min(trainDataset.length, measuredRows); i++) {
    const row = run.sample(await trainDataset.row(i), trainDataset.where(i));
    if (row === undefined) continue;
    if (rows.length < shownRows) rows.push(row);
    const count = row.parts.reduce((sum, { ids }) => sum + ids.length, run.moreTokens);
    longest = Math.max(longest, count);
  }
  const { perDeviceTrainBatchSize: size, gradientCheckpointing, maxLength = Infinity, dtype } = values;
  const planned = AutoModelForCausalLM.withoutWeights(
    readConfig(await pretrainedFolder(model, "config", {})),
    { dtype },
  );
  if (peftConfig !== undefined) attachWithoutValues(planned, peftConfig);
  const shape = {
    rows: size * run.textsPerRow,
    length: bucketSize(Math.min(longest, maxLength)),
    gradientCheckpointing,
  };
  const memory = trainingMemory(planned, shape);
  const tokens = (row: SampleRow) =>
    row.parts.map(({ name, ids, trained }) => ({
      part: name,
      trained,
      tokens: ids.length,
      text: tokenizer.decode([...ids]),
    }));
  const result = {
    command: run.command,
    config,
    sample: rows.map((row) => ({ row: row.where, parts: tokens(row) })),
    memory: { ...shape, ...memory },
  };
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : text(result));
  return 0;
}

function text({ command, config, sample, memory }: Result): string {
  const options = Object.entries(config).flatMap(([name, value]) =>
    value === undefined ? [] : [`  ${name}: ${JSON.stringify(value)}`],
  );
  const rows = sample.flatMap(({ row, parts }) => [
    `  ${row}`,
    ...parts.map(
      ({ part, trained, tokens, text: words }) =>
        `    ${trained ? "+" : " "} ${part}, ${tokens} tokens: ${JSON.stringify(words)}`,
    ),
  ]);
  const share = (name: string, bytes: number): string => `  ${name}: ${(bytes / 1e9).toFixed(2)} GB`;
  return `${[
    `craft ${command} would run with`,
    ...options,
    "The first rows; what is marked with + is predicted",
    ...rows,
    `Memory of a step of ${memory.rows} rows of ${memory.length} tokens, about`,
    share("weights", memory.weights),
    share("kept casts", memory.derived),
    share("optimizer", memory.optimizer),
    share("activations and gradients", memory.activations),
    share("in all", memory.total),
  ].join("\n")}\n`;
}

interface Result {
  readonly command: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly sample: readonly {
    readonly row: string;
    readonly parts: readonly {
      readonly part: string;
      readonly trained: boolean;
      readonly tokens: number;
      readonly text: string;
    }[];
  }[];
  readonly memory: ReturnType<typeof trainingMemory> & { readonly rows: number; readonly length: number };
}
