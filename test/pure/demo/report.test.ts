import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { format } from "prettier";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chooseRuns, craftConfig, settingsOf } from "../../../src/cli/demo/craft_runs.js";
import { demoMarkdown, markerOf, requirePlace, updatePage } from "../../../src/cli/demo/markdown.js";
import { targetLanguages, type CompilerMessage } from "../../../src/cli/demo/messages.js";
import { demoSummary, type DemoOutcome, type DemoResult } from "../../../src/cli/demo/outcome.js";
import { demoReport } from "../../../src/cli/demo/report.js";
import { readWishes } from "../../../src/cli/demo/wishes.js";
import { writeHtmlReport } from "../../../src/report/index.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-demo-report-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const heldOut = [40, 60].map((length, code): CompilerMessage => {
  const languages = ["en", ...targetLanguages] as const;
  const text = Object.fromEntries(languages.map((language) => [language, `${language} `.repeat(length / 3)]));
  return { code, text: text as CompilerMessage["text"] };
});

const result = (
  name: string,
  scores: readonly [number, number, number, number],
  seconds: number,
): DemoResult => {
  const [bleu, loss, accuracy, recall] = scores;
  return {
    name,
    settings: undefined,
    bleu,
    signature: "nrefs:1|tok:13a",
    loss,
    hidden: { accuracy, recall },
    projected: undefined,
    translations: heldOut.map(() => `${name}'s`),
    log: [1, 2].map((step) => ({
      step,
      loss: 3 - step,
      "loss/craft_sft": 3 - step,
      "loss/craft_contrast": 2,
    })),
    seconds,
  };
};

const base = result("base", [1, 4, 0.1, 0.05], 0);
const sft = result("SFT", [10, 2, 0.2, 0.1], 50);

/** Each preset with other scores: BLEU 9, 10, 11, … */
function outcomeOf(presets: readonly string[], strategy = "paired_dataset"): DemoOutcome {
  const crafts = chooseRuns(presets, strategy).map((run, i) => ({
    ...result(run.name, [9 + i, 2 - i / 10, 0.3, 0.1 + i / 10], 100 + 10 * i),
    settings: settingsOf(run, craftConfig(run, {}), 400),
  }));
  return {
    to: "es",
    results: [base, sft, ...crafts],
    heldOut,
    training: 1862,
    pairs: 24000,
    steps: 400,
    seconds: 300,
    typescript: "5.9.3",
  };
}

describe("demoSummary", () => {
  it("compares CRAFT with SFT", () => {
    expect(demoSummary(outcomeOf([]).results)).toEqual([
      "SFT lifts BLEU from 1.00 to 10.00, CRAFT to 9.00.",
      "CRAFT does not reach SFT on BLEU: 9.00 against 10.00.",
      "CRAFT equals SFT on evaluation loss: 2.000 against 2.000.",
      "CRAFT equals SFT on recall@1 from English to the translation, by the model's own representations: 0.100 against 0.100.",
      "Both saw the same supervised batches; CRAFT's steps hold a contrastive batch besides and took 2.0 times as long.",
    ]);
  });

  it("says of each preset on which side of SFT it is, best first", () => {
    const [, bleu, loss, accuracy, , cost] = demoSummary(outcomeOf(["minimal,balanced,aggressive"]).results);
    expect(bleu).toBe(
      "BLEU: SFT has 10.00; better: aggressive 11.00; equal: balanced 10.00; worse: minimal 9.00.",
    );
    expect(loss).toBe(
      "Evaluation loss: SFT has 2.000; better: aggressive 1.800, balanced 1.900; equal: minimal 2.000.",
    );
    expect(accuracy).toMatch(/better: minimal 0\.300, balanced 0\.300, aggressive 0\.300\.$/);
    expect(cost).toContain("took 2.0 (minimal) to 2.4 (aggressive) times as long");
  });
});

describe("demoReport", () => {
  it("shows every preset in the table, in bars and in curves, with its options", async () => {
    const outcome = outcomeOf(["all"]);
    const { report, table, examples } = demoReport(outcome);
    const path = join(folder, "report.html");
    await writeHtmlReport(path, report);
    const page = readFileSync(path, "utf8");
    expect(table.rows.map((row) => row["model"])).toEqual([
      "base",
      "SFT",
      ...chooseRuns(["all"], "paired_dataset").map(({ name }) => name),
    ]);
    expect(page.match(/aria-label="Bar chart of [^:]*: base [^"]*aggressive [^"]*"/g)).toHaveLength(4);
    expect(page).toContain(
      'aria-label="Line chart of loss per token over optimiser step for SFT, minimal, balanced, memory_efficient, large_batch, aggressive"',
    );
    expect(page).toContain(
      "Line chart of loss per token, less SFT&#39;s over optimiser step for minimal, balanced",
    );
    expect(page).toMatch(/craft_alpha: 0\.5, craft_gradient_balancing: loss_scale/);
    expect(page).toContain("the queue of 65,536 never fills");
    expect(examples).toMatch(/^ {2}memory_efficient {2}memory_efficient's$/m);
  });

  it("says when pairs are the rows themselves", () => {
    const { report } = demoReport(outcomeOf([], "self_align"));
    expect(report.title).toBe("Compiler messages, English to es: base, SFT and CRAFT with self-align");
    expect(report.facts?.["contrastive pairs"]).toBe("the messages");
    expect(report.facts?.["options of CRAFT"]).toBe("craft_alpha: 0.9, craft_temperature: 0.1");
  });
});

describe("demoMarkdown", () => {
  it("is set as the formatter leaves it, with the command that gives it again", async () => {
    const text = demoMarkdown(outcomeOf(["all"]), "npm run demo -- --preset all", "2026-01-31");
    expect(await format(text, { parser: "markdown" })).toBe(`${text}\n`);
    expect(text).toMatch(/^`npm run demo -- --preset all`, 2026-01-31:\n\n\| model /);
    expect(text).toMatch(/\n- large_batch: the queue of 65,536 never fills/);
    expect(text).toMatch(/\n- balanced, memory_efficient, large_batch, aggressive: craft_beta_mode auto/);
  });

  it("goes to the place that its runs have, and is refused where there is none", () => {
    expect([markerOf(true, "paired_dataset"), markerOf(true, "self_align")]).toEqual([
      "demo:presets",
      "demo:presets_self_align",
    ]);
    expect([markerOf(false, "paired_dataset"), markerOf(false, "self_align")]).toEqual([
      "demo:plain",
      "demo:self_align",
    ]);
    const path = join(folder, "page.md");
    expect(() => requirePlace(path, "demo:presets")).toThrow(/--markdown.*no such file/);
    writeFileSync(path, "a\n<!-- demo:presets -->\nold\n<!-- /demo:presets -->\nb\n");
    expect(() => requirePlace(path, "demo:plain")).toThrow(/<!-- demo:plain -->/);
    requirePlace(path, "demo:presets");
    updatePage(path, "demo:presets", "new");
    expect(readFileSync(path, "utf8")).toBe("a\n<!-- demo:presets -->\n\nnew\n\n<!-- /demo:presets -->\nb\n");
  });
});

describe("readWishes", () => {
  const standard = { to: "es", strategy: "paired_dataset", report: "report.html", seed: "42" };

  it("names the command that gives the same again", () => {
    expect(readWishes(standard).command).toBe("npm run demo");
    const all = { ...standard, preset: ["all"], strategy: "self_align", steps: "30", to: "FR", seed: "7" };
    expect(readWishes(all).command).toBe(
      "npm run demo -- --preset all --strategy self_align --to fr --steps 30 --seed 7",
    );
    expect(readWishes({ ...standard, preset: ["minimal", "balanced"], steps: "400" }).command).toBe(
      "npm run demo -- --preset minimal,balanced",
    );
  });

  it("refuses numbers that are none, and models that are not there", () => {
    expect(() => readWishes({ ...standard, steps: "1.5" })).toThrow(/--steps/);
    expect(() => readWishes({ ...standard, model: join(folder, "none") })).toThrow(/--model.*does not exist/);
  });
});
