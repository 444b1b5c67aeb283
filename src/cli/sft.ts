/** @file `craft sft`: a run file to a trained model. */
import { dirname } from "node:path";
import { CRAFTSFTConfig, CRAFTSFTTrainer, craftFields, craftPresets } from "../craft/index.js";
import { loadDataset, type Dataset } from "../data/index.js";
import { CraftError } from "../errors.js";
import { AutoModelForCausalLM } from "../models/index.js";
import { AutoTokenizer } from "../text/index.js";
import { SFTConfig, SFTTrainer } from "../trainers/index.js";
import { z } from "zod";
import {
  camelCaseKeys,
  optionName,
  parseOptions,
  prepareOutputDir,
  TrainingInterrupted,
  type TrainOutput,
} from "../training/index.js";
import { peftConfigOf, peftFields } from "./peft_options.js";
import { quantizationFields, quantizationOfRun } from "./quantization_options.js";
import { locate, openEvalDataset, openTrainDataset } from "./run_data.js";
import { commandLineOptions, readRunFile } from "./run_file.js";

const columns = z.strictObject({
  anchor: z.string().min(1),
  positive: z.string().min(1),
  negatives: z.array(z.string().min(1)).min(1).optional(),
});

/** What a run file says beside the trainer's options. */
const dataFields = {
  modelNameOrPath: z.string().min(1),
  modelRevision: z.string().min(1).optional(),
  trainDataset: z.string().min(1),
  datasetConfig: z.string().min(1).optional(),
  datasetTrainSplit: z.string().min(1).optional(),
  datasetTestSplit: z.string().min(1).optional(),
  evalDataset: z.string().min(1).optional(),
  contrastiveDataset: z.string().min(1).optional(),
  contrastiveEvalDataset: z.string().min(1).optional(),
  contrastiveColumns: columns.optional(),
  craftPreset: z.enum(craftPresets).optional(),
  ...peftFields,
  ...quantizationFields,
};
const dataSchema = z.strictObject(dataFields);
type DataOptions = z.output<typeof dataSchema>;

export async function run(options: Record<string, unknown>): Promise<number> {
  const config = String(options["config"]);
  const given = {
    ...camelCaseKeys(readRunFile(config)),
    ...camelCaseKeys(commandLineOptions(options["rest"] as string[])),
  };
  if (options["resume"] === true) given["resumeFromCheckpoint"] ??= true;
  if (options["overwrite"] === true) given["overwriteOutputDir"] = true;
  const { data, training } = splitOptions(given);
  const craft = data.contrastiveDataset !== undefined || training["craftStrategy"] === "self_align";
  if (!craft) refuseCraftOptions(training, data);
  const args = craft ? craftConfig(data, training) : new SFTConfig(training);
  if (options["explain"] === true) return explain(args, options["json"] === true);
  // Before anything is loaded, so that a full folder costs no time.
  const { outputDir, overwriteOutputDir: overwrite, resumeFromCheckpoint: resume } = args.values;
  prepareOutputDir(outputDir, { overwrite, resume: resume !== false });

  const find = (source: string, option: string): string => locate(source, dirname(config), option);
  const open = async (source: string | undefined, option: string): Promise<Dataset<object> | undefined> =>
    source === undefined ? undefined : loadDataset(find(source, option));
  const model = find(data.modelNameOrPath, "model_name_or_path");
  const revision = data.modelRevision;
  const quantization = quantizationOfRun(data);
  const train = find(data.trainDataset, "train_dataset");
  const evaluation = data.evalDataset === undefined ? undefined : find(data.evalDataset, "eval_dataset");
  const common = {
    tokenizer: await AutoTokenizer.fromPretrained(model, { revision }),
    trainDataset: await openTrainDataset(train, data),
    evalDataset: await openEvalDataset(train, evaluation, data),
    // The trainer loads a model when it needs it, of the newest revision and as it is stored.
    model:
      revision === undefined && quantization === undefined
        ? model
        : await AutoModelForCausalLM.fromPretrained(model, {
            revision,
            quantization,
            dtype: args.values.dtype,
          }),
    peftConfig: peftConfigOf(data),
  };
  const trainer =
    args instanceof CRAFTSFTConfig
      ? new CRAFTSFTTrainer({
          ...common,
          args,
          contrastiveDataset: await open(data.contrastiveDataset, "contrastive_dataset"),
          contrastiveEvalDataset: await open(data.contrastiveEvalDataset, "contrastive_eval_dataset"),
          contrastiveColumns: data.contrastiveColumns,
        })
      : new SFTTrainer({ ...common, args });
  let output: TrainOutput;
  try {
    output = await trainer.train();
  } catch (error) {
    if (!(error instanceof TrainingInterrupted)) throw error;
    const { step, checkpoint, signal } = error;
    const rest = options["rest"] as string[];
    const again = typeof resume === "string" ? ["--resume_from_checkpoint", checkpoint] : ["--resume"];
    const command = ["craft", "sft", "--config", config, ...rest, ...again].map(quoted).join(" ");
    process.stderr.write(`Stopped after step ${step}; ${checkpoint} has all of it. Go on with: ${command}\n`);
    return signal === "SIGTERM" ? 143 : 130;
  }
  report(output, outputDir, options["json"] === true);
  return 0;
}

/** A word of a command line, as a shell reads it. */
const quoted = (word: string): string =>
  /^[\w./=:,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

function splitOptions(given: Readonly<Record<string, unknown>>): {
  data: DataOptions;
  training: Record<string, unknown>;
} {
  const own: Record<string, unknown> = {};
  const training: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) (name in dataFields ? own : training)[name] = value;
  return { data: parseOptions(dataSchema, own, "run file"), training };
}

function craftConfig(
  { craftPreset }: DataOptions,
  training: Readonly<Record<string, unknown>>,
): CRAFTSFTConfig {
  return craftPreset === undefined
    ? new CRAFTSFTConfig(training)
    : CRAFTSFTConfig.fromPreset(craftPreset, training);
}

/** Prints what each option is and why, in the place of a run. */
function explain(args: CRAFTSFTConfig | SFTConfig, json: boolean): number {
  if (!(args instanceof CRAFTSFTConfig))
    throw new CraftError({ subject: "--explain", reason: "is for runs with contrastive data" });
  const explanation = args.explain();
  process.stdout.write(`${json ? JSON.stringify(explanation.options) : String(explanation)}\n`);
  return 0;
}

/** CRAFT's options do nothing without contrastive data, so that giving them is a mistake worth telling. */
function refuseCraftOptions(training: Readonly<Record<string, unknown>>, data: DataOptions): void {
  const own = (["contrastiveColumns", "craftPreset"] as const).find((name) => data[name] !== undefined);
  const stray = own ?? Object.keys(training).find((name) => name in craftFields);
  if (stray === undefined) return;
  throw new CraftError({
    subject: optionName(stray),
    value: own === undefined ? training[stray] : data[own],
    reason: "has no effect, since there is no contrastive data",
    remedy: "Give contrastive_dataset, or craft_strategy: self_align.",
  });
}

function report(output: TrainOutput, outputDir: string, json: boolean): void {
  const result = {
    output_dir: outputDir,
    global_step: output.globalStep,
    train_loss: output.trainingLoss,
    train_runtime: output.seconds,
    tokens_per_second: output.tokensPerSecond,
  };
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    process.stderr.write(
      `Trained ${output.globalStep} steps in ${output.seconds.toFixed(1)} s, mean loss ${output.trainingLoss.toFixed(4)}. Result in ${outputDir}.\n`,
    );
  }
}
