/** @file `craft demo dpo`, and the like: what a method adds to the SFT model, without CRAFT and with it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { savePretrained } from "../../../models/index.js";
import { formatTable, writeHtmlReport } from "../../../report/index.js";
import { AutoTokenizer } from "../../../text/index.js";
import { loadTorch } from "../../../torch/index.js";
import type { Setting } from "../measure.js";
import { loadCompilerMessages } from "../messages.js";
import { rowsOf } from "../rows.js";
import { splitMessages } from "../split.js";
import { taggedFormat } from "../task.js";
import { trainDemo } from "../train.js";
import { demoTokenizerFolder } from "../translate.js";
import { measureAfterSft, type AfterSftResult, type Trained } from "./measure.js";
import { methodFacts } from "./methods.js";
import { summaryOf, tableOf, type AfterSftOutcome } from "./outcome.js";
import { preferencesOf } from "./preferences.js";
import { promptsOf } from "./prompts.js";
import { reportOf } from "./report.js";
import { trainAfterSft, type AfterSftRun } from "./train.js";
import { readAfterSftWishes, type AfterSftWishes } from "./wishes.js";

const say = (text: string): void => void process.stderr.write(`${text}\n`);

export async function runAfterSft(options: Record<string, unknown>): Promise<number> {
  const wishes = readAfterSftWishes(options);
  const folder = mkdtempSync(join(tmpdir(), "craft-demo-sft-"));
  try {
    const outcome = await compare(wishes, folder);
    await writeHtmlReport(wishes.report, reportOf(outcome));
    const [table, summary] = [tableOf(outcome.results), summaryOf(outcome)];
    const { method, to, steps, report } = wishes;
    process.stdout.write(
      options["json"] === true
        ? `${JSON.stringify({ method, to, steps, report, results: table.rows, summary })}\n`
        : `\n${formatTable(table)}\n\n${summary.join("\n")}\n\nReport: ${report}\n`,
    );
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Trains SFT, and from it the method without CRAFT and with it, and measures all three. */
async function compare(
  { method, to, sftSteps, steps, seed }: AfterSftWishes,
  folder: string,
): Promise<AfterSftOutcome> {
  const began = performance.now();
  await loadTorch();
  const { messages, version } = loadCompilerMessages();
  const { training, heldOut } = splitMessages(messages);
  const tokenizer = await AutoTokenizer.fromPretrained(demoTokenizerFolder);
  const format = taggedFormat(to);
  const setting: Setting = { to, heldOut, tokenizer, format };
  const rows = rowsOf(training, format);
  const { title, lesson, rows: rowsOfStep } = methodFacts[method];
  say(
    `${training.length} messages to train on, ${heldOut.length} held out, English to ${to}; TypeScript ${version}.`,
  );
  say(`training with SFT, ${sftSteps} steps …`);
  const sft = await trainDemo({
    folder: demoTokenizerFolder,
    tokenizer,
    rows,
    steps: sftSteps,
    seed,
    lora: undefined,
  });
  const heldOutPreferences = preferencesOf(heldOut, { format, to });
  const results: AfterSftResult[] = [];
  const score = async (trained: Trained): Promise<void> => {
    say(`scoring ${trained.name} …`);
    results.push(await measureAfterSft(trained, setting, heldOutPreferences));
  };
  await score({ name: "SFT", model: sft.model, log: [], seconds: sft.seconds });
  savePretrained(sft.model, folder);
  const run: AfterSftRun = {
    method,
    folder,
    tokenizer,
    preferences: lesson === "preferences" ? preferencesOf(training, { format, to }) : [],
    prompts: lesson === "rewards" ? promptsOf(training, format, tokenizer) : [],
    pairs: rows.pairs,
    steps,
    rows: rowsOfStep,
    seed,
  };
  sft.model.dispose();
  for (const withCraft of [false, true]) {
    const name = withCraft ? `CRAFT-${title}` : title;
    say(`training with ${name}, ${steps} steps …`);
    const trained = await trainAfterSft(run, withCraft);
    await score({ ...trained, name });
    trained.dispose();
  }
  return {
    method,
    to,
    results,
    heldOut,
    lessons: lesson === "preferences" ? run.preferences.length : run.prompts.length,
    heldOutPreferences: heldOutPreferences.length,
    training: training.length,
    sftSteps,
    steps,
    seconds: (performance.now() - began) / 1000,
    typescript: version,
  };
}
