/** @file The command `craft`. Each subcommand is imported when it is called, so that help appears at once. */
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";

type Run = (options: Record<string, unknown>) => Promise<number>;

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const program = new Command("craft")
  .description("Fine-tune causal language models with a contrastive objective, on libtorch.")
  .version(version, "-V, --version")
  .enablePositionalOptions()
  .showHelpAfterError("(see craft --help)");

const json = new Option("--json", "print one JSON object on stdout and nothing else there");

function command(name: string, description: string, load: () => Promise<{ run: Run }>): Command {
  return program
    .command(name)
    .description(description)
    .addOption(json)
    .action(async (_options: unknown, self: Command) => {
      const options: Record<string, unknown> = self.opts();
      await finish(async () => (await load()).run({ ...options, rest: self.args }));
    });
}

async function finish(work: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await work();
  } catch (error) {
    process.exitCode = 1;
    const known = error instanceof Error && error.name === "CraftError";
    const text = known
      ? `error: ${error.message}`
      : error instanceof Error
        ? (error.stack ?? error.message)
        : String(error);
    process.stderr.write(`${text}\n`);
  }
}

command(
  "demo",
  "train a small model to translate compiler messages: base, SFT and CRAFT side by side",
  () => import("./demo/run.js"),
)
  .option("--to <language>", "language to translate into", "es")
  .option("--model <folder>", "fine-tune this model instead of the small one that comes along")
  .option(
    "--preset <names>",
    "train CRAFT with each of these presets of CRAFT, with commas between, or with all; may be repeated",
    (value: string, before: readonly string[] = []) => [...before, value],
  )
  .option(
    "--strategy <name>",
    "where CRAFT's pairs come from: paired_dataset (messages and their translations into all languages) or self_align (prompts and answers of the supervised rows)",
    "paired_dataset",
  )
  .option("--steps <n>", "optimiser steps of each run; default 400, with --model 100")
  .option("--report <file>", "where to write the report", "report.html")
  .option(
    "--markdown <file>",
    "also put the scores between the markers <!-- demo:presets --> and <!-- /demo:presets --> of this file (without presets demo:plain, with self_align demo:presets_self_align or demo:self_align)",
  )
  .option("--seed <n>", "of data order and new weights", "42");

command(
  "sft",
  "supervised fine-tuning, with CRAFT where contrastive data is configured",
  () => import("./sft.js"),
)
  .requiredOption(
    "--config <file>",
    "run file, YAML or JSON; any of its options can be given as --option value too",
  )
  .option("--resume", "go on from the last checkpoint in the output folder")
  .option("--overwrite", "clear an output folder that is not empty")
  .option("--explain", "print each option of a CRAFT run and where its value comes from, and train nothing")
  .allowUnknownOption()
  .allowExcessArguments();

command("generate", "continue a text", () => import("./generate.js"))
  .requiredOption("--model <folder>", "model folder")
  .option("--adapter <folder>", "LoRA adapter folder")
  .requiredOption("--prompt <text>", "text to continue")
  .option("--max-new-tokens <n>", "most tokens to add", "64")
  .option("--temperature <t>", "0 takes the likeliest token; higher is more random", "0")
  .option("--seed <n>", "of sampling", "42")
  .option("--dtype <dtype>", "auto, float32, bfloat16 …", "auto");

command("eval", "score a model on a dataset", () => import("./eval.js"))
  .requiredOption("--model <folder>", "model folder")
  .option("--adapter <folder>", "LoRA adapter folder")
  .requiredOption("--dataset <file>", "JSONL file")
  .option("--text-column <name>", "column of text", "text")
  .option("--metric <name>", "loss: mean negative log-likelihood per predicted token", "loss")
  .option("--max-length <n>", "longer rows are cut to this many tokens", "1024")
  .option("--batch-size <n>", "rows at a time", "8")
  .option("--dtype <dtype>", "auto, float32, bfloat16 …", "auto");

command("install", "fetch libtorch", () => import("./install.js"))
  .option("--version <v>", "version of libtorch")
  .option("--from <place>", "wheel file, folder or URL")
  .option("--device <device>", "cpu");

command("doctor", "show which libtorch is used and what is wrong", () => import("./doctor.js"));

await program.parseAsync();
