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
    .action(async function (this: Command) {
      const options: Record<string, unknown> = this.opts();
      await finish(async () => (await load()).run({ ...options, rest: this.args }));
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
  "train a small model to translate compiler messages: base, SFT and CRAFT side by side; or from SFT on with dpo, orpo, grpo or ppo",
  () => import("./demo/run.js"),
)
  .argument("[method]", "dpo, orpo, grpo or ppo: what it adds to SFT, without CRAFT and with it")
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
  .option("--steps <n>", "optimiser steps of each run; default 400, with --model 100, with a method its own")
  .option("--sft-steps <n>", "steps of the SFT model that a method goes on from (default: 400)")
  .option("--report <file>", "where to write the report", "report.html")
  .option(
    "--markdown <file>",
    "also put the scores between the markers <!-- demo:presets --> and <!-- /demo:presets --> of this file (without presets demo:plain, with self_align demo:presets_self_align or demo:self_align)",
  )
  .option("--seed <n>", "of data order and new weights", "42");

/** Commands that train by a run file. */
for (const [name, description, load] of [
  [
    "sft",
    "supervised fine-tuning, with CRAFT where contrastive data is configured",
    () => import("./sft.js"),
  ],
  ["dpo", "direct preference optimisation, with CRAFT as in sft", () => import("./dpo.js")],
  ["orpo", "odds ratio preference optimisation, with CRAFT as in sft", () => import("./orpo.js")],
  [
    "grpo",
    "train on rewards: answers against the others to their prompt, with CRAFT where contrastive data is given",
    () => import("./grpo.js"),
  ],
  ["ppo", "train on rewards with a value head, with CRAFT as in grpo", () => import("./ppo.js")],
  ["reward", "train a model that scores texts, on preferences", () => import("./reward.js")],
] as const)
  command(name, description, load)
    .requiredOption(
      "--config <file>",
      "run file, YAML or JSON; any of its options can be given as --option value too",
    )
    .option("--resume", "go on from the last checkpoint in the output folder")
    .option("--overwrite", "clear an output folder that is not empty")
    .option("--explain", "print each option of a CRAFT run and where its value comes from, and train nothing")
    .option(
      "--dry-run",
      "print the options, the first rows and the memory that a step needs, and train nothing",
    )
    .allowUnknownOption()
    .allowExcessArguments();

/** What generation_flags.ts reads. What is left out is as generation_config.json says. */
const withGenerationFlags = (of: Command): Command =>
  of
    .option("--max-new-tokens <n>", "most tokens to add (default: the model's setting, else 64)")
    .option("--temperature <t>", "0 takes the likeliest token; higher is more random")
    .option("--top-k <k>", "draw from the k likeliest tokens only; 0 is all")
    .option("--top-p <p>", "draw from the fewest tokens whose chances sum up to p")
    .option("--min-p <p>", "draw from tokens at least this share as likely as the likeliest")
    .option("--repetition-penalty <x>", "above 1 discourages tokens that are there already")
    .option("--stop <text...>", "end where one of these texts comes")
    .option("--num-beams <n>", "beam search with so many beams")
    .option("--length-penalty <x>", "of beam search: above 0 favours long texts")
    .option("--early-stopping <when>", "of beam search: true, false or never")
    .option("--seed <n>", "of sampling (default: 42)")
    .option("--no-generation-config", "leave out the settings of generation_config.json");

/** What quantization_options.ts reads, beside `--load-in-4bit`. */
const withQuantization = (of: Command): Command =>
  of
    .option("--bnb-4bit-quant-type <type>", "4 bits: nf4 or fp4 (default: nf4)")
    .option("--bnb-4bit-use-double-quant", "4 bits: scales in 8 bits")
    .option("--bnb-4bit-compute-dtype <dtype>", "4 bits: dtype of products (default: the model's)")
    .option("--llm-int8-skip-modules <name...>", "4 bits: layers that stay as they are");

const withModel = (of: Command): Command =>
  withQuantization(
    of
      .option("--adapter <path or id>", "LoRA adapter: a folder, or an id of the hub")
      .option("--dtype <dtype>", "auto, float32, bfloat16 …", "auto")
      .option("--load-in-4bit", "put linear layers into 4 bits while they are read"),
  );

withGenerationFlags(
  withModel(command("generate", "continue a text, answer, or chat", () => import("./generate.js"))),
)
  .requiredOption("--model <path or id>", "model: a folder, or an id of the hub")
  .option("--prompt <text>", "text to continue")
  .option("--chat", "take the prompt as a user's message, by the model's chat template")
  .option("--system <text>", "system message, with --chat or --interactive")
  .option("--interactive", "chat; Ctrl-C stops an answer, twice leaves")
  .option("--num-return-sequences <n>", "continuations (default: 1)")
  .option("--log-probs <n>", "with --json: log-probability of each token, and of the n likeliest");

withGenerationFlags(withModel(command("eval", "score a model on a dataset", () => import("./eval.js"))))
  .option(
    "--model <path or id>",
    "model: a folder, or an id of the hub; needed unless --prediction-column is given",
  )
  .requiredOption("--dataset <path or id>", "a file, folder or pattern, or an id of the hub")
  .option("--split <name>", "split of a folder or a dataset of the hub (default: the only one, or train)")
  .option("--dataset-config <name>", "configuration of such a dataset")
  .option("--metric <names>", "one or several of those below, with commas", "loss")
  .option("--text-column <name>", "loss, perplexity: column of text", "text")
  .option("--max-length <n>", "loss and vectors: longer rows are cut to this many tokens", "1024")
  .option(
    "--prompt-column <name>",
    "bleu, chrf, chrf++, rouge1, rouge2, rougeL, rougeLsum: column of prompts",
  )
  .option("--reference-column <name...>", "columns of references; a column may hold a list of them")
  .option("--prediction-column <name>", "score the texts of this column, without a model")
  .option("--chat", "take prompts as a user's messages, by the model's chat template")
  .option("--predictions <file>", "write what was generated, JSONL")
  .option("--tokenize <name>", "bleu: 13a, intl, zh or char (default: 13a)")
  .option("--smooth <name>", "bleu: exp, floor, add-k or none (default: exp)")
  .option("--smooth-value <x>", "bleu: of floor and add-k")
  .option("--lowercase", "bleu, chrf: compare without regard to case")
  .option("--query-column <name>", "retrieval, alignment, uniformity: column of text")
  .option("--candidate-column <name>", "retrieval, alignment: column of what belongs to it")
  .option("--pooling <name>", "last_token, mean, weighted_mean or cls (default: last_token)")
  .option("--recall-at <n...>", "retrieval: ranks at which recall is told (default: 1 5 10)")
  .option("--batch-size <n>", "rows at a time", "8");

command("tokenize", "show what of a dataset would be trained, token by token", () => import("./tokenize.js"))
  .requiredOption("--model <path or id>", "model or tokenizer: a folder, or an id of the hub")
  .requiredOption("--dataset <path or id>", "a file, folder or pattern, or an id of the hub")
  .option("--split <name>", "split of a folder or a dataset of the hub (default: the only one, or train)")
  .option("--dataset-config <name>", "configuration of such a dataset")
  .option("--rows <n>", "how many rows from the start", "3")
  .option("--max-length <n>", "longer rows are cut to this many tokens (default: 1024)")
  .option("--truncation-mode <which>", "which end of a long row stays: keep_start or keep_end")
  .option("--text-column <name>", "column of plain text (default: text)")
  .option("--completion-only-loss <bool>", "train the completion only (default: true where there is one)")
  .option("--assistant-only-loss", "train the assistant's turns only");

command("merge", "put a LoRA adapter into the weights of its model", () => import("./merge.js"))
  .requiredOption("--adapter <folder>", "LoRA adapter folder")
  .option("--model <folder>", "model folder (default: the one that the adapter names)")
  .requiredOption("--output <folder>", "new folder for the merged model")
  .option("--dtype <dtype>", "of the merged weights: stored, auto, float32, bfloat16 …", "stored");

withQuantization(
  command(
    "quantize",
    "put a model's linear layers into 4 bits, as bitsandbytes stores them",
    () => import("./quantize.js"),
  ),
)
  .argument("<model>", "a folder, or an id of the hub")
  .argument("<output>", "new folder for the model in 4 bits")
  .option("--dtype <dtype>", "of what is not in 4 bits: stored, auto, float32, bfloat16 …", "stored")
  .option("--max-shard-size <bytes>", "most bytes in one file of weights", "5e9");

command(
  "inspect",
  "show what a model is, and what memory training it would need",
  () => import("./inspect.js"),
)
  .argument("<model>", "a folder, or an id of the hub, of which only config.json is fetched")
  .option(
    "--length <n>",
    "tokens in a row (default: 1024, or what the model was trained for if that is less)",
  )
  .option("--batch <n>", "rows at a time", "8")
  .option("--lora-r <n>", "rank of LoRA", "8")
  .option(
    "--lora-target-modules <name...>",
    "layers that LoRA adapts, or all-linear (default: PEFT's for the model's type)",
  )
  .option("--dtype <dtype>", "that the model computes in: auto, float32, bfloat16 …", "auto");

command("install", "fetch libtorch", () => import("./install.js"))
  .option("--version <v>", "version of libtorch")
  .option("--from <place>", "wheel file, folder or URL")
  .option("--device <device>", "cpu");

command("doctor", "show which libtorch is used and what is wrong", () => import("./doctor.js"));

await program.parseAsync();
