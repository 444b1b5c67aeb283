/** @file `craft demo`: base, SFT and CRAFT on the translation of compiler messages. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { CraftError } from "../../errors.js";
import { AutoModelForCausalLM, type CausalLM } from "../../models/index.js";
import { formatTable, writeHtmlReport } from "../../report/index.js";
import { AutoTokenizer, type Tokenizer } from "../../text/index.js";
import { SFTConfig, SFTTrainer } from "../../trainers/index.js";
import { loadTorch } from "../../torch/index.js";
import {
  loadCompilerMessages,
  parseTargetLanguage,
  targetLanguages,
  type CompilerMessage,
  type TargetLanguage,
} from "./messages.js";
import { demoReport, type DemoOutcome, type DemoResult } from "./report.js";
import { scoreAlignment, scoreTranslations } from "./score.js";
import { splitMessages } from "./split.js";
import { plainFormat, taggedFormat, type TaskFormat } from "./task.js";
import { trainDemo, type TrainedModel } from "./train.js";
import { demoTokenizerFolder } from "./translate.js";

interface Setting {
  readonly to: TargetLanguage;
  readonly heldOut: readonly CompilerMessage[];
  readonly tokenizer: Tokenizer;
  readonly format: TaskFormat;
}

export async function run(options: Record<string, unknown>): Promise<number> {
  const to = parseTargetLanguage(String(options["to"]));
  const own = options["model"] === undefined;
  const folder = own ? demoTokenizerFolder : String(options["model"]);
  if (!existsSync(folder))
    throw new CraftError({ subject: "--model", value: folder, reason: "does not exist" });
  const steps = positive("--steps", options["steps"] ?? (own ? "400" : "100"));
  const seed = positive("--seed", options["seed"], 0);
  const say = (text: string): void => void process.stderr.write(`${text}\n`);

  const began = performance.now();
  await loadTorch();
  const { messages, version } = loadCompilerMessages();
  const { training, heldOut } = splitMessages(messages);
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const format = own ? taggedFormat(to) : plainFormat(to);
  const setting: Setting = { to, heldOut, tokenizer, format };
  const rows = {
    training: training.map((m) => ({ prompt: format.prompt(m), completion: format.completion(m) })),
    pairs: training.flatMap((m) =>
      targetLanguages
        .filter((language) => m.text[language] !== m.text.en)
        .map((language) => ({ anchor: format.text(m, "en"), positive: format.text(m, language) })),
    ),
  };
  say(
    `${training.length} messages to train on, ${heldOut.length} held out, English to ${to}; TypeScript ${version}.`,
  );

  const lora = own
    ? undefined
    : { r: 16, loraAlpha: 32, targetModules: ["q_proj", "k_proj", "v_proj", "o_proj"] };
  const job = { folder, tokenizer, rows, steps, seed, lora };
  const results: DemoResult[] = [];
  const measure = async (name: string, trained: TrainedModel): Promise<void> => {
    say(`scoring ${name} …`);
    results.push(await score(name, trained, setting));
    trained.model.dispose();
    trained.head?.dispose();
  };
  await measure("base", {
    model: await AutoModelForCausalLM.fromPretrained(folder),
    head: undefined,
    log: [],
    seconds: 0,
  });
  say(`training with SFT, ${steps} steps …`);
  await measure("SFT", await trainDemo(job, false));
  say(`training with CRAFT, ${steps} steps with the same supervised batches …`);
  await measure("CRAFT", await trainDemo(job, true));

  const outcome: DemoOutcome = {
    to,
    results,
    heldOut,
    training: training.length,
    pairs: rows.pairs.length,
    steps,
    seconds: (performance.now() - began) / 1000,
    typescript: version,
  };
  const { table, report, summary, examples } = demoReport(outcome);
  const path = resolve(String(options["report"]));
  await writeHtmlReport(path, report);
  if (options["json"] === true)
    process.stdout.write(`${JSON.stringify({ to, steps, report: path, results: table.rows, summary })}\n`);
  else
    process.stdout.write(
      `\n${formatTable(table)}\n\n${summary.join("\n")}\n\n${examples}\n\nReport: ${path}\n`,
    );
  return 0;
}

async function score(name: string, trained: TrainedModel, setting: Setting): Promise<DemoResult> {
  const { model, head, log, seconds } = trained;
  const { heldOut, tokenizer, format, to } = setting;
  const { bleu, signature, translations } = await scoreTranslations(model, tokenizer, heldOut, format, to);
  const hidden = await scoreAlignment(model, tokenizer, heldOut, format, to);
  const projected =
    head === undefined ? undefined : await scoreAlignment(model, tokenizer, heldOut, format, to, head);
  const loss = await completionLoss(model, tokenizer, heldOut, format);
  return { name, bleu, signature, loss, hidden, projected, translations, log, seconds };
}

/** Mean negative log-likelihood of the tokens of the translations. */
async function completionLoss(
  model: CausalLM,
  tokenizer: Tokenizer,
  messages: readonly CompilerMessage[],
  format: TaskFormat,
): Promise<number> {
  const evalDataset = messages.map((m) => ({ prompt: format.prompt(m), completion: format.completion(m) }));
  const trainer = new SFTTrainer({
    model,
    tokenizer,
    trainDataset: evalDataset,
    evalDataset,
    args: new SFTConfig({ perDeviceEvalBatchSize: 32, maxLength: model.shape.maxLength, disableTqdm: true }),
  });
  const { eval_loss: loss } = await trainer.evaluate();
  if (loss === undefined) throw new CraftError({ subject: "eval_loss", reason: "was not computed" });
  return loss;
}

function positive(subject: string, text: unknown, least = 1): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new CraftError({ subject, value: text, reason: `must be a whole number from ${least} on` });
}
