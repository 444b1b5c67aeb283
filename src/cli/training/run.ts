/** @file A run file to a trained model, for every training command. */
import { dirname } from "node:path";
import type { CraftConfig } from "../../craft/index.js";
import type { CraftedArguments } from "../../craft/config.js";
import { loadDataset, type Dataset } from "../../data/index.js";
import { CraftError } from "../../errors.js";
import { AutoModelForCausalLM } from "../../models/index.js";
import { AutoTokenizer } from "../../text/index.js";
import {
  camelCaseKeys,
  prepareOutputDir,
  TrainingInterrupted,
  type TrainOutput,
} from "../../training/index.js";
import { peftConfigOf } from "../peft_options.js";
import { quantizationOfRun } from "../quantization_options.js";
import { locate, openEvalDataset, openTrainDataset } from "../run_data.js";
import { commandLineOptions, readRunFile } from "../run_file.js";
import { refuseCraftOptions, splitOptions } from "./data_options.js";
import { dryRun } from "./dry_run.js";
import type { Recipe, RunArguments, RunInputs, Trains } from "./recipe.js";

/** Runs a training command with the options of its command line. */
export async function runTraining<
  Plain extends { readonly values: RunArguments },
  Crafted extends CraftConfig<CraftedArguments & RunArguments>,
>(recipe: Recipe<Plain, Crafted>, options: Readonly<Record<string, unknown>>): Promise<number> {
  const config = String(options["config"]);
  const json = options["json"] === true;
  const rest = options["rest"] as string[];
  const given = { ...camelCaseKeys(readRunFile(config)), ...camelCaseKeys(commandLineOptions(rest)) };
  if (options["resume"] === true) given["resumeFromCheckpoint"] ??= true;
  if (options["overwrite"] === true) given["overwriteOutputDir"] = true;
  recipe.take?.(given);
  const { data, training } = splitOptions(given);
  const contrastive = data.contrastiveDataset !== undefined || training["craftStrategy"] === "self_align";
  if (contrastive && recipe.craft === undefined)
    throw new CraftError({
      subject: `craft ${recipe.command}`,
      reason: "has no version with contrastive data",
      remedy: "Leave out contrastive_dataset and craft_strategy.",
    });
  if (!contrastive) refuseCraftOptions(training, data);
  const { craft } = recipe;
  const crafted = contrastive ? craft?.config(training, data.craftPreset) : undefined;
  const plain = crafted === undefined ? recipe.plain(training) : undefined;
  const values: RunArguments = crafted === undefined ? plain!.values : crafted.values;
  if (options["explain"] === true) return explain(crafted, json);
  const dry = options["dryRun"] === true;
  // Before anything is loaded, so that a full folder costs no time.
  const { outputDir, overwriteOutputDir: overwrite, resumeFromCheckpoint: resume } = values;
  if (!dry) prepareOutputDir(outputDir, { overwrite, resume: resume !== false });

  const find = (source: string, option: string): string => locate(source, dirname(config), option);
  const open = async (source: string | undefined, option: string): Promise<Dataset<object> | undefined> =>
    source === undefined ? undefined : loadDataset(find(source, option));
  const model = find(data.modelNameOrPath, "model_name_or_path");
  const revision = data.modelRevision;
  const quantization = quantizationOfRun(data);
  if (data.refModelNameOrPath !== undefined && recipe.comparesWithReference !== true)
    throw new CraftError({
      subject: "ref_model_name_or_path",
      value: data.refModelNameOrPath,
      reason: `has no effect in craft ${recipe.command}`,
      remedy: "Leave it out.",
    });
  const train = find(data.trainDataset, "train_dataset");
  const evaluation = data.evalDataset === undefined ? undefined : find(data.evalDataset, "eval_dataset");
  const tokenizer = await AutoTokenizer.fromPretrained(model, { revision });
  const trainDataset = await openTrainDataset(train, data);
  const peftConfig = peftConfigOf(data);
  if (dry) {
    const { maxLength = Infinity, onBadRow = "error" } = values;
    const sample = (row: object, where: string) =>
      recipe.sample(row, where, tokenizer, { ...values, maxLength, onBadRow });
    const moreTokens = recipe.moreTokens?.(crafted?.values ?? plain!.values) ?? 0;
    const { command, textsPerRow } = recipe;
    return dryRun({
      command,
      textsPerRow,
      moreTokens,
      sample,
      values,
      model,
      tokenizer,
      trainDataset,
      peftConfig,
      json,
    });
  }
  const inputs: RunInputs = {
    tokenizer,
    trainDataset,
    evalDataset: await openEvalDataset(train, evaluation, data),
    // The trainer loads a model when it needs it, of the newest revision and as it is stored.
    model:
      revision === undefined && quantization === undefined
        ? model
        : await AutoModelForCausalLM.fromPretrained(model, { revision, quantization, dtype: values.dtype }),
    refModel:
      data.refModelNameOrPath === undefined
        ? undefined
        : find(data.refModelNameOrPath, "ref_model_name_or_path"),
    peftConfig,
  };
  await recipe.open?.(dirname(config), values.dtype);
  const trainer: Trains =
    crafted === undefined || craft === undefined
      ? recipe.train(inputs, plain!)
      : craft.train(
          {
            ...inputs,
            contrastiveDataset: await open(data.contrastiveDataset, "contrastive_dataset"),
            contrastiveEvalDataset: await open(data.contrastiveEvalDataset, "contrastive_eval_dataset"),
            contrastiveColumns: data.contrastiveColumns,
          },
          crafted,
        );
  let output: TrainOutput;
  try {
    output = await trainer.train();
  } catch (error) {
    if (!(error instanceof TrainingInterrupted)) throw error;
    const { step, checkpoint, signal, cause } = error;
    const again = typeof resume === "string" ? ["--resume_from_checkpoint", checkpoint] : ["--resume"];
    const words = ["craft", recipe.command, "--config", config, ...rest, ...again];
    const command = words.map(quoted).join(" ");
    if (signal === "failure" && cause instanceof Error) process.stderr.write(`error: ${cause.message}\n`);
    process.stderr.write(`Stopped after step ${step}; ${checkpoint} has all of it. Go on with: ${command}\n`);
    return signal === "failure" ? 1 : signal === "SIGTERM" ? 143 : 130;
  }
  report(output, outputDir, json);
  return 0;
}

/** A word of a command line, as a shell reads it. */
const quoted = (word: string): string =>
  /^[\w./=:,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** Prints what each option is and why, in the place of a run. */
function explain(args: CraftConfig<CraftedArguments & RunArguments> | undefined, json: boolean): number {
  if (args === undefined)
    throw new CraftError({ subject: "--explain", reason: "is for runs with contrastive data" });
  const explanation = args.explain();
  process.stdout.write(`${json ? JSON.stringify(explanation.options) : String(explanation)}\n`);
  return 0;
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
