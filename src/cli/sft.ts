/** @file `craft sft`: supervised fine-tuning. */
import { CRAFTSFTConfig, CRAFTSFTTrainer } from "../craft/index.js";
import { SFTConfig, SFTTrainer } from "../trainers/index.js";
import { runTraining } from "./training/run.js";
import { labelledSample } from "./training/samples.js";

export const run = (options: Record<string, unknown>): Promise<number> =>
  runTraining<SFTConfig, CRAFTSFTConfig>(
    {
      command: "sft",
      plain: (given) => new SFTConfig(given),
      train: ({ refModel: _refModel, ...inputs }, args) => new SFTTrainer({ ...inputs, args }),
      craft: {
        config: (given, preset) =>
          preset === undefined ? new CRAFTSFTConfig(given) : CRAFTSFTConfig.fromPreset(preset, given),
        train: ({ refModel: _refModel, ...inputs }, args) => new CRAFTSFTTrainer({ ...inputs, args }),
      },
      sample: (row, where, tokenizer, values) => {
        const {
          maxLength,
          truncationMode,
          datasetTextField,
          completionOnlyLoss,
          assistantOnlyLoss,
          onBadRow,
        } = values;
        return labelledSample(row, where, tokenizer, {
          maxLength,
          ...(truncationMode && { truncationMode }),
          ...(datasetTextField && { datasetTextField }),
          ...(completionOnlyLoss === undefined ? {} : { completionOnlyLoss }),
          ...(assistantOnlyLoss && { assistantOnlyLoss }),
          onBadRow,
        });
      },
      textsPerRow: 1,
    },
    options,
  );
