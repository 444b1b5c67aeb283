/** @file `craft generate`: continues a text, answers a message, or chats. */
import { CraftError } from "../errors.js";
import { streamText, TokenGenerator, type Generation } from "../generation/index.js";
import type { CausalLM } from "../models/index.js";
import type { Tokenizer } from "../text/index.js";
import { Chat } from "./chat.js";
import { generationOptions, refuseFlags } from "./generation_flags.js";
import { loadModel } from "./load_model.js";
import { optionalInteger, optionalText, requiredText, type GivenOptions } from "./options.js";

type Settings = ReturnType<typeof generationOptions>;

/**
 * Prints the continuation as it is made; several, one after the other. With `--json` an object:
 * `{"text", "token_ids", "stopped"}`, or `{"sequences": […]}` of several.
 */
export async function run(options: GivenOptions): Promise<number> {
  const settings = generationOptions(options);
  const copies = optionalInteger(options, "numReturnSequences", 1);
  const logProbs = optionalInteger(options, "logProbs", 0);
  const json = options["json"] === true;
  const isChat = options["interactive"] === true;
  if (isChat) {
    const reason = "does not go together with --interactive";
    refuseFlags(options, ["prompt", "chat", "json", "numReturnSequences", "logProbs", "numBeams"], reason);
  } else requiredText(options, "prompt");
  if (!isChat && options["chat"] !== true)
    refuseFlags(options, ["system"], "needs --chat or --interactive, since it is part of a conversation");
  if (!json) refuseFlags(options, ["logProbs"], "is told with --json only");

  const { model, tokenizer } = await loadModel(options);
  using generator = new TokenGenerator(model);
  if (isChat) {
    requireTemplate(tokenizer);
    const chat = new Chat({ model, tokenizer, generator, settings, system: optionalText(options, "system") });
    return chat.run(process.stdin, process.stdout, process.stderr);
  }
  const inputIds = promptIds(options, tokenizer);
  const maxNewTokens = settings.maxNewTokens ?? defaultNewTokens(model);
  const single = (copies ?? 1) === 1 && (settings.numBeams ?? 1) === 1;
  if (single && !json && !searchesBeams(model, settings)) {
    for await (const piece of streamText(generator, tokenizer, { ...settings, maxNewTokens, inputIds }))
      process.stdout.write(piece);
    process.stdout.write("\n");
    return 0;
  }
  const result = await generator.generate({
    ...settings,
    maxNewTokens,
    inputIds: [inputIds],
    tokenizer,
    numReturnSequences: copies,
    logProbs,
  });
  print(result, tokenizer, json);
  return 0;
}

const defaultNewTokens = ({ generationConfig }: CausalLM): number => generationConfig?.maxNewTokens ?? 64;

/** Whether the model's own settings ask for beams, which come all at once. */
function searchesBeams(
  { generationConfig }: CausalLM,
  { useGenerationConfig, temperature = 0 }: Settings,
): boolean {
  const beams = generationConfig?.json["num_beams"];
  return useGenerationConfig === true && temperature === 0 && typeof beams === "number" && beams > 1;
}

function promptIds(options: GivenOptions, tokenizer: Tokenizer): number[] {
  const prompt = requiredText(options, "prompt");
  if (options["chat"] === true) {
    requireTemplate(tokenizer);
    const system = optionalText(options, "system");
    const messages = [
      ...(system === undefined ? [] : [{ role: "system", content: system }]),
      { role: "user", content: prompt },
    ];
    return tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
  }
  const ids = tokenizer.encode(prompt);
  if (ids.length > 0) return ids;
  throw new CraftError({
    subject: "--prompt",
    value: prompt,
    reason: "gives no token, and a continuation needs one to go on from",
    remedy: "Give a text.",
  });
}

function requireTemplate({ chatTemplate }: Tokenizer): void {
  if (chatTemplate !== undefined) return;
  throw new CraftError({
    subject: "--model",
    reason: "the model's tokenizer has no chat template, so that messages cannot be put to it",
    remedy: "Use --prompt without --chat to continue a text.",
  });
}

function print(result: Generation, tokenizer: Tokenizer, json: boolean): void {
  const sequences = result.sequences.map((ids, i) => ({
    text: tokenizer.decode(ids, { skipSpecialTokens: true }),
    token_ids: ids,
    stopped: result.stopped[i]!,
    ...(result.scores && { score: result.scores[i]! }),
    ...(result.logProbs && {
      log_probs: result.logProbs[i]!.map(({ logProb, top }) => ({
        log_prob: logProb,
        top: top.map(({ token, logProb: other }) => ({ token, log_prob: other })),
      })),
    }),
  }));
  if (json)
    process.stdout.write(`${JSON.stringify(sequences.length === 1 ? sequences[0] : { sequences })}\n`);
  else process.stdout.write(`${sequences.map(({ text }) => text).join("\n\n")}\n`);
}
