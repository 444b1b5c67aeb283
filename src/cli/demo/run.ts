/** @file `craft demo`: base, SFT and CRAFT on the translation of compiler messages. */
import { CraftError } from "../../errors.js";
import { AutoModelForCausalLM } from "../../models/index.js";
import { formatTable, writeHtmlReport } from "../../report/index.js";
import { AutoTokenizer } from "../../text/index.js";
import { loadTorch } from "../../torch/index.js";
import { methods } from "./after_sft/methods.js";
import { demoMarkdown, markerOf, requirePlace, updatePage } from "./markdown.js";
import { measure, type Setting } from "./measure.js";
import { loadCompilerMessages } from "./messages.js";
import { craftResults, type DemoOutcome, type DemoResult } from "./outcome.js";
import { demoReport } from "./report.js";
import { rowsOf } from "./rows.js";
import { splitMessages } from "./split.js";
import { plainFormat, taggedFormat } from "./task.js";
import { inWords, partsOf, secondsLeft } from "./time.js";
import { trainDemo, type TrainedModel } from "./train.js";
import { readWishes, type Wishes } from "./wishes.js";

const say = (text: string): void => void process.stderr.write(`${text}\n`);

export async function run(options: Record<string, unknown>): Promise<number> {
  const { rest } = options;
  const method: unknown = Array.isArray(rest) ? rest[0] : undefined;
  if (method !== undefined) return (await import("./after_sft/run.js")).runAfterSft({ ...options, method });
  if (options["sftSteps"] !== undefined)
    throw new CraftError({
      subject: "--sft-steps",
      reason: "is an option of the demo of a method that goes on from SFT",
      remedy: `Use --steps, or name one of ${methods.join(", ")}.`,
    });
  const wishes = readWishes(options);
  const { markdown } = wishes;
  const marker = markerOf(wishes.presets, wishes.runs[0]!.strategy);
  if (markdown !== undefined) requirePlace(markdown, marker);
  const outcome = await compare(wishes);
  const { table, report, summary, examples } = demoReport(outcome);
  await writeHtmlReport(wishes.report, report);
  if (markdown !== undefined) {
    const date = new Date().toISOString().slice(0, 10);
    updatePage(markdown, marker, demoMarkdown(outcome, wishes.command, date));
  }
  const { to, steps } = wishes;
  if (options["json"] === true) {
    const runs = craftResults(outcome.results).map(({ name, settings }) => ({ model: name, ...settings }));
    const result = { to, steps, report: wishes.report, results: table.rows, runs, summary };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else {
    process.stdout.write(
      `\n${formatTable(table)}\n\n${summary.join("\n")}\n\n${examples}\n\nReport: ${wishes.report}\n`,
    );
  }
  return 0;
}

/** Trains and measures base, SFT and each CRAFT run. */
async function compare({ to, folder, own, steps, seed, runs, presets }: Wishes): Promise<DemoOutcome> {
  const parts = partsOf(runs, steps);
  if (presets)
    say(
      own
        ? `${runs.length + 1} models are trained. That takes about ${inWords(secondsLeft(parts, 0, 0))} on two cores.`
        : `${runs.length + 1} models are trained. How long that takes is told after the first of them.`,
    );
  const began = performance.now();
  const elapsed = (): number => (performance.now() - began) / 1000;
  await loadTorch();
  const { messages, version } = loadCompilerMessages();
  const { training, heldOut } = splitMessages(messages);
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const format = own ? taggedFormat(to) : plainFormat(to);
  const setting: Setting = { to, heldOut, tokenizer, format };
  const rows = rowsOf(training, format);
  say(
    `${training.length} messages to train on, ${heldOut.length} held out, English to ${to}; TypeScript ${version}.`,
  );

  const lora = own
    ? undefined
    : { r: 16, loraAlpha: 32, targetModules: ["q_proj", "k_proj", "v_proj", "o_proj"] };
  const job = { folder, tokenizer, rows, steps, seed, lora };
  const results: DemoResult[] = [];
  const score = async (name: string, trained: TrainedModel): Promise<void> => {
    say(`scoring ${name} …`);
    results.push(await measure(name, trained, setting));
    trained.model.dispose();
    trained.head?.dispose();
    // The base alone is scored in a moment and tells little.
    if (presets && results.length > 1 && results.length < parts.length)
      say(`about ${inWords(secondsLeft(parts, results.length, elapsed()))} left`);
  };
  const base = await AutoModelForCausalLM.fromPretrained(folder);
  await score("base", { model: base, head: undefined, log: [], seconds: 0, settings: undefined });
  say(`training with SFT, ${steps} steps …`);
  await score("SFT", await trainDemo(job));
  for (const craft of runs) {
    const preset = craft.preset === undefined ? "" : `, preset ${craft.preset}`;
    say(`training with CRAFT${preset}, ${steps} steps with the same supervised batches …`);
    await score(craft.name, await trainDemo(job, craft));
  }
  return {
    to,
    results,
    heldOut,
    training: training.length,
    pairs: rows.pairs.length,
    steps,
    seconds: elapsed(),
    typescript: version,
  };
}
