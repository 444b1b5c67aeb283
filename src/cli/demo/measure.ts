/** @file All scores of one model. */
import { CraftError } from "../../errors.js";
import type { CausalLM } from "../../models/index.js";
import type { Tokenizer } from "../../text/index.js";
import { SFTConfig, SFTTrainer } from "../../trainers/index.js";
import type { CompilerMessage, TargetLanguage } from "./messages.js";
import type { DemoResult } from "./outcome.js";
import { scoreAlignment, scoreTranslations } from "./score.js";
import type { TaskFormat } from "./task.js";
import type { TrainedModel } from "./train.js";

/** What models are measured with. */
export interface Setting {
  readonly to: TargetLanguage;
  readonly heldOut: readonly CompilerMessage[];
  readonly tokenizer: Tokenizer;
  readonly format: TaskFormat;
}

export async function measure(name: string, trained: TrainedModel, setting: Setting): Promise<DemoResult> {
  const { model, head, log, seconds, settings } = trained;
  const { heldOut, tokenizer, format, to } = setting;
  const { bleu, signature, translations } = await scoreTranslations(model, tokenizer, heldOut, format, to);
  const hidden = await scoreAlignment(model, tokenizer, heldOut, format, to);
  const projected =
    head === undefined ? undefined : await scoreAlignment(model, tokenizer, heldOut, format, to, head);
  const loss = await completionLoss(model, tokenizer, heldOut, format);
  return { name, settings, bleu, signature, loss, hidden, projected, translations, log, seconds };
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
