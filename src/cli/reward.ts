/** @file `craft reward`: a model that scores texts. */
import { CraftError } from "../errors.js";
import { RewardConfig, RewardTrainer } from "../trainers/index.js";
import { runTraining } from "./training/run.js";
import { pairSample } from "./training/samples.js";

export const run = (options: Record<string, unknown>): Promise<number> =>
  runTraining<RewardConfig, never>(
    {
      command: "reward",
      plain: (given) => new RewardConfig(given),
      train: ({ refModel: _refModel, model, ...inputs }, args) => {
        if (typeof model === "string") return new RewardTrainer({ ...inputs, model, args });
        throw new CraftError({
          subject: "craft reward",
          reason: "loads the newest revision of a model as it is stored",
          remedy: "Leave out model_revision and quantisation.",
        });
      },
      sample: (row, where, tokenizer, { maxLength, onBadRow }) =>
        pairSample(row, where, tokenizer, { maxLength, onBadRow, whole: true, margins: true }, true),
      textsPerRow: 2,
    },
    options,
  );
