/** @file What tells one training command from another. */
import type { CraftConfig, CraftPreset } from "../../craft/index.js";
import type { CraftedArguments } from "../../craft/config.js";
import type { ContrastiveColumns } from "../../craft/data/index.js";
import type { Dataset } from "../../data/index.js";
import type { CausalLM } from "../../models/index.js";
import type { LoraOptions } from "../../peft/index.js";
import type { Tokenizer } from "../../text/index.js";
import type { DType } from "../../torch/dtype.js";
import type { TrainingArguments } from "../../training/arguments.js";
import type { TrainOutput } from "../../training/index.js";

/** What a command reads of any trainer's options. */
export type RunArguments = TrainingArguments & {
  readonly dtype: DType | "auto";
  readonly maxLength?: number | undefined;
  readonly onBadRow?: "error" | "drop" | undefined;
};

/** What is read of them, beside, to prepare a row. */
export type SampleArguments = RunArguments & {
  readonly maxLength: number;
  readonly onBadRow: "error" | "drop";
  readonly truncationMode?: "keep_start" | "keep_end";
  readonly datasetTextField?: string;
  readonly completionOnlyLoss?: boolean | undefined;
  readonly assistantOnlyLoss?: boolean;
};

/** What every trainer is given. */
export interface RunInputs {
  readonly model: string | CausalLM;
  readonly refModel: string | undefined;
  readonly tokenizer: Tokenizer;
  readonly trainDataset: Dataset<object>;
  readonly evalDataset: Dataset<object> | undefined;
  readonly peftConfig: LoraOptions | undefined;
}

/** What trainers with CRAFT are given beside. */
export interface ContrastiveInputs {
  readonly contrastiveDataset: Dataset<object> | undefined;
  readonly contrastiveEvalDataset: Dataset<object> | undefined;
  readonly contrastiveColumns: ContrastiveColumns | undefined;
}

type Given = Readonly<Record<string, unknown>>;
export interface Trains {
  train(): Promise<TrainOutput>;
}

/** A row as it is trained on, for people. */
export interface SampleRow {
  readonly where: string;
  /** Parts in their order, and which of them are to be predicted. */
  readonly parts: readonly {
    readonly name: string;
    readonly ids: readonly number[];
    readonly trained: boolean;
  }[];
}

/** A training command: how its options are read, and what trains. */
export interface Recipe<
  Plain extends { readonly values: RunArguments },
  Crafted extends CraftConfig<CraftedArguments & RunArguments>,
> {
  readonly command: string;
  /** Takes options of the command's own out of those of the trainer. */
  readonly take?: (given: Record<string, unknown>) => void;
  /** Opens what these name, before the trainer is made; paths count from the folder too. */
  readonly open?: (folder: string, dtype: DType | "auto") => Promise<void>;
  readonly plain: (options: Given) => Plain;
  readonly train: (inputs: RunInputs, args: Plain) => Trains;
  /** The same with CRAFT; undefined where the trainer has no CRAFT version. */
  readonly craft?: {
    readonly config: (options: Given, preset: CraftPreset | undefined) => Crafted;
    readonly train: (inputs: RunInputs & ContrastiveInputs, args: Crafted) => Trains;
  };
  /** Prepares one row of the data. */
  readonly sample: (
    row: object,
    where: string,
    tokenizer: Tokenizer,
    args: SampleArguments,
  ) => SampleRow | undefined;
  /** Texts that a row of the data makes in a micro-batch. */
  readonly textsPerRow: number;
  /** Tokens of a text beside those of its row, e.g. of an answer that is still to be made. */
  readonly moreTokens?: (args: Plain["values"] | Crafted["values"]) => number;
  /** Whether the trainer compares with a reference. */
  readonly comparesWithReference?: boolean;
}
