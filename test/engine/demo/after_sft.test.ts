/** @file Each method goes on from an SFT model, without CRAFT and with it, and all is measured. */
import { beforeAll, describe, expect, it } from "vitest";
import { measureAfterSft } from "../../../src/cli/demo/after_sft/measure.js";
import { methods, type Method } from "../../../src/cli/demo/after_sft/methods.js";
import { preferencesOf } from "../../../src/cli/demo/after_sft/preferences.js";
import { promptsOf } from "../../../src/cli/demo/after_sft/prompts.js";
import { trainAfterSft, type AfterSftRun } from "../../../src/cli/demo/after_sft/train.js";
import type { Setting } from "../../../src/cli/demo/measure.js";
import { loadCompilerMessages } from "../../../src/cli/demo/messages.js";
import { rowsOf } from "../../../src/cli/demo/rows.js";
import { taggedFormat } from "../../../src/cli/demo/task.js";
import { demoTokenizerFolder } from "../../../src/cli/demo/translate.js";
import { AutoTokenizer } from "../../../src/text/index.js";
import { liveTensors, loadTorch } from "../../../src/torch/index.js";

let job: Omit<AfterSftRun, "method">;
let setting: Setting;
beforeAll(async () => {
  await loadTorch();
  const format = taggedFormat("es");
  const to = "es";
  // Short ones, so that steps are quick.
  const messages = loadCompilerMessages()
    .messages.filter(({ text }) => text.en.length < 30 && text.en.includes("{0}"))
    .slice(0, 40);
  const tokenizer = await AutoTokenizer.fromPretrained(demoTokenizerFolder);
  const heldOut = messages.slice(0, 4);
  setting = { to, heldOut, tokenizer, format };
  job = {
    // The model that SFT begins with does here in the place of the one that it leads to.
    folder: demoTokenizerFolder,
    tokenizer,
    preferences: preferencesOf(messages, { format, to }),
    prompts: promptsOf(messages, format, tokenizer),
    pairs: rowsOf(messages, format).pairs,
    steps: 2,
    rows: 8,
    seed: 42,
    quiet: true,
  };
}, 60_000);

/** What tells of the method's own learning in its log. */
const told: Readonly<Record<Method, string>> = {
  dpo: "rewards/margins",
  orpo: "log_odds_ratio",
  grpo: "rewards/literals/mean",
  ppo: "objective/scores",
};

describe("trainAfterSft", () => {
  it.each(methods)("trains %s without CRAFT and with it", async (method) => {
    const live = liveTensors();
    for (const withCraft of [false, true]) {
      const trained = await trainAfterSft({ ...job, method }, withCraft);
      const steps = trained.log.filter((entry) => entry[told[method]] !== undefined);
      // PPO rolls out once for both.
      expect(steps.map(({ step }) => step)).toEqual(method === "ppo" ? [1] : [1, 2]);
      const craft = trained.log.flatMap((entry) => entry["loss/craft_contrast"] ?? []);
      expect(craft).toHaveLength(withCraft ? 2 : 0);
      expect(craft.every(Number.isFinite)).toBe(true);
      trained.dispose();
    }
    expect(liveTensors()).toBe(live);
  });
});

describe("measureAfterSft", () => {
  it("finds the model's translations and preferences", async () => {
    const trained = await trainAfterSft({ ...job, method: "dpo" }, false);
    const { format } = setting;
    const easy = setting.heldOut.map((message) => ({
      prompt: format.prompt(message),
      chosen: "x",
      rejected: "zqzq qzqz zzqq qqzz",
    }));
    const turned = easy.map(({ prompt, chosen, rejected }) => ({
      prompt,
      chosen: rejected,
      rejected: chosen,
    }));
    const right = await measureAfterSft({ ...trained, name: "right" }, setting, easy);
    const wrong = await measureAfterSft({ ...trained, name: "wrong" }, setting, turned);
    trained.dispose();
    expect([right.accuracy, wrong.accuracy]).toEqual([1, 0]);
    expect(right.translations).toHaveLength(4);
    expect([wrong.bleu, wrong.chrf, wrong.reward]).toEqual([right.bleu, right.chrf, right.reward]);
    for (const share of [right.kept, right.reward]) expect(share >= 0 && share <= 1).toBe(true);
  });
});
