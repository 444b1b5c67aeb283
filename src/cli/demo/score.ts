/** @file Scores of one model on held-out messages. */
import { CRAFTCollator, pool, type InfoNCELoss } from "../../craft/index.js";
import { contrastiveAccuracy, corpusBleu, retrieval } from "../../evaluation/index.js";
import { generate } from "../../generation/index.js";
import type { CausalLM } from "../../models/index.js";
import { compile, HostTensor, type Tensor } from "../../tensor/index.js";
import type { Tokenizer } from "../../text/index.js";
import type { CompilerMessage, TargetLanguage } from "./messages.js";
import type { TaskFormat } from "./task.js";
import { bleuTokenizerFor } from "./translate.js";

export interface TranslationScores {
  /** 0 to 100, as sacreBLEU computes it. */
  readonly bleu: number;
  readonly signature: string;
  readonly translations: readonly string[];
}

/** Translates every message greedily and compares with the professional translation. */
export async function scoreTranslations(
  model: CausalLM,
  tokenizer: Tokenizer,
  messages: readonly CompilerMessage[],
  format: TaskFormat,
  to: TargetLanguage,
): Promise<TranslationScores> {
  const prompts = messages.map((m) =>
    tokenizer.encode(format.prompt(m), { addSpecialTokens: !format.tagged }),
  );
  const end = tokenizer.eosTokenId;
  // Rows of like length share a batch, so that little is padded.
  const order = prompts.map((_, i) => i).sort((a, b) => prompts[a]!.length - prompts[b]!.length);
  const translations = new Array<string>(messages.length).fill("");
  const rows = 64;
  for (let from = 0; from < order.length; from += rows) {
    const batch = order.slice(from, from + rows);
    const longest = Math.max(...batch.map((i) => prompts[i]!.length));
    const { sequences } = await generate(model, {
      inputIds: batch.map((i) => prompts[i]!),
      maxNewTokens: Math.min(2 * longest + 16, model.shape.maxLength - longest),
      temperature: 0,
      ...(end === undefined ? {} : { eosTokenIds: [end] }),
    });
    batch.forEach(
      (i, k) => (translations[i] = tokenizer.decode(sequences[k]!, { skipSpecialTokens: true }).trim()),
    );
  }
  const references = messages.map((m) => m.text[to]);
  const { score, signature } = corpusBleu(translations, references, { tokenize: bleuTokenizerFor(to) });
  return { bleu: score, signature, translations };
}

export interface AlignmentScores {
  /** Share of English messages whose translation is nearer than the other translations of their batch of 32. */
  readonly accuracy: number;
  /** Share of English messages whose translation is the nearest of all. */
  readonly recall: number;
}

/** How near the representations of a message and its translation are; through the projection head if one is given. */
export async function scoreAlignment(
  model: CausalLM,
  tokenizer: Tokenizer,
  messages: readonly CompilerMessage[],
  format: TaskFormat,
  to: TargetLanguage,
  head?: InfoNCELoss,
): Promise<AlignmentScores> {
  const embed = async (language: "en" | TargetLanguage): Promise<Float32Array[]> =>
    embedTexts(
      model,
      tokenizer,
      messages.map((m) => format.text(m, language)),
      format,
      head,
    );
  const [english, target] = [await embed("en"), await embed(to)];
  const { recall } = retrieval(english, target, { recallAt: [1] });
  return { accuracy: contrastiveAccuracy(english, target, 32), recall: recall.get(1)! };
}

async function embedTexts(
  model: CausalLM,
  tokenizer: Tokenizer,
  texts: readonly string[],
  format: TaskFormat,
  head: InfoNCELoss | undefined,
): Promise<Float32Array[]> {
  const collator = new CRAFTCollator({ padTokenId: tokenizer.padTokenId ?? 0 });
  const program = compile((ids: Tensor, mask: Tensor) => {
    const pooled = pool(model.hiddenStates(ids), mask, "last_token");
    return head === undefined ? pooled : head.project(pooled);
  });
  const vectors: Float32Array[] = [];
  try {
    for (let from = 0; from < texts.length; from += 32) {
      const rows = texts
        .slice(from, from + 32)
        .map((text) => ({ input_ids: tokenizer.encode(text, { addSpecialTokens: !format.tagged }) }));
      const { inputIds, attentionMask, shape } = collator.collateSft(rows);
      const feed = (data: Int32Array): HostTensor => new HostTensor(data, shape, "int64");
      const output = await program(feed(inputIds), feed(attentionMask));
      const size = output.shape[1]!;
      const flat = Float32Array.from(output.toNumbers());
      output.dispose();
      rows.forEach((_, i) => vectors.push(flat.slice(i * size, (i + 1) * size)));
    }
  } finally {
    program.dispose();
  }
  return vectors;
}
