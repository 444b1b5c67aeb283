/** @file The demo's promise: CRAFT, with pairs or with self-align, sees the supervised batches that SFT sees. */
import { beforeAll, describe, expect, it } from "vitest";
import { chooseRuns, rowsPerStep } from "../../../src/cli/demo/craft_runs.js";
import { loadCompilerMessages, type CompilerMessage } from "../../../src/cli/demo/messages.js";
import { taggedFormat } from "../../../src/cli/demo/task.js";
import { trainDemo, type DemoRun, type TrainedModel } from "../../../src/cli/demo/train.js";
import { demoTokenizerFolder } from "../../../src/cli/demo/translate.js";
import { AutoTokenizer } from "../../../src/text/index.js";
import { liveTensors, loadTorch } from "../../../src/torch/index.js";

let job: DemoRun;
beforeAll(async () => {
  await loadTorch();
  const format = taggedFormat("es");
  // Short ones, so that steps are quick; more than a step has, so that it matters which are taken.
  const short = (m: CompilerMessage) => m.text.en.length < 30 && m.text.en !== m.text.es;
  const messages = loadCompilerMessages()
    .messages.filter(short)
    .slice(0, 3 * rowsPerStep);
  job = {
    folder: demoTokenizerFolder,
    tokenizer: await AutoTokenizer.fromPretrained(demoTokenizerFolder),
    rows: {
      training: messages.map((m) => ({ prompt: format.prompt(m), completion: format.completion(m) })),
      pairs: messages.map((m) => ({ anchor: format.text(m, "en"), positive: format.text(m, "es") })),
    },
    // The first step's learning rate is 0: the second meets the model as it was.
    steps: 2,
    seed: 42,
    lora: undefined,
    quiet: true,
  };
}, 60_000);

/** What a run logged of a loss. The model goes. */
function lossesOf({ model, head, log }: TrainedModel, key: string): number[] {
  model.dispose();
  head?.dispose();
  return log.map((entry) => entry[key] ?? NaN);
}

describe("trainDemo", () => {
  it("gives every CRAFT run the supervised batches of SFT, with contrastive ones beside them", async () => {
    const live = liveTensors();
    const supervised = lossesOf(await trainDemo(job), "loss");
    expect(supervised).toHaveLength(2);
    expect(supervised[0]).not.toBeCloseTo(supervised[1]!, 2);
    const runs = [
      ...chooseRuns(["minimal", "memory_efficient"], "paired_dataset"),
      ...chooseRuns(["balanced"], "self_align"),
    ];
    for (const run of runs) {
      const trained = await trainDemo(job, run);
      expect(trained.settings).toMatchObject({ preset: run.preset, strategy: run.strategy });
      expect(trained.log.every((entry) => Number.isFinite(entry["loss/craft_contrast"]))).toBe(true);
      const losses = lossesOf(trained, "loss/craft_sft");
      for (const [i, loss] of losses.entries()) expect(loss).toBeCloseTo(supervised[i]!, 3);
    }
    expect(liveTensors()).toBe(live);
  });
});
