/** @file `craft orpo`: odds ratio preference optimisation. */
import { CRAFTORPOConfig, CRAFTORPOTrainer } from "../craft/index.js";
import { ORPOConfig, ORPOTrainer } from "../trainers/index.js";
import { runTraining } from "./training/run.js";
import { pairSample } from "./training/samples.js";

export const run = (options: Record<string, unknown>): Promise<number> =>
  runTraining<ORPOConfig, CRAFTORPOConfig>(
    {
      command: "orpo",
      plain: (given) => new ORPOConfig(given),
      train: ({ refModel: _refModel, ...inputs }, args) => new ORPOTrainer({ ...inputs, args }),
      craft: {
        config: (given, preset) =>
          preset === undefined ? new CRAFTORPOConfig(given) : CRAFTORPOConfig.fromPreset(preset, given),
        train: ({ refModel: _refModel, ...inputs }, args) => new CRAFTORPOTrainer({ ...inputs, args }),
      },
      sample: (row, where, tokenizer, { maxLength, truncationMode, onBadRow }) =>
        pairSample(row, where, tokenizer, { maxLength, onBadRow, ...(truncationMode && { truncationMode }) }),
      textsPerRow: 2,
    },
    options,
  );
