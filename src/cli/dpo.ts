/** @file `craft dpo`: direct preference optimisation. */
import { CRAFTDPOConfig, CRAFTDPOTrainer } from "../craft/index.js";
import { DPOConfig, DPOTrainer } from "../trainers/index.js";
import { runTraining } from "./training/run.js";
import { pairSample } from "./training/samples.js";

export const run = (options: Record<string, unknown>): Promise<number> =>
  runTraining<DPOConfig, CRAFTDPOConfig>(
    {
      command: "dpo",
      plain: (given) => new DPOConfig(given),
      train: (inputs, args) => new DPOTrainer({ ...inputs, args }),
      craft: {
        config: (given, preset) =>
          preset === undefined ? new CRAFTDPOConfig(given) : CRAFTDPOConfig.fromPreset(preset, given),
        train: (inputs, args) => new CRAFTDPOTrainer({ ...inputs, args }),
      },
      sample: (row, where, tokenizer, { maxLength, truncationMode, onBadRow }) =>
        pairSample(row, where, tokenizer, { maxLength, onBadRow, ...(truncationMode && { truncationMode }) }),
      textsPerRow: 2,
      comparesWithReference: true,
    },
    options,
  );
