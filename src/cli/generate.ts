/** @file `craft generate`: continues a text. */
import { CraftError } from "../errors.js";
import { generate } from "../generation/index.js";
import { TextStream } from "../text/index.js";
import { loadModel } from "./load_model.js";
import { integerOption, numberOption, requiredText, type GivenOptions } from "./options.js";

/** Prints the continuation as it is made, or with `--json` an object of it: `{"text", "token_ids"}`. */
export async function run(options: GivenOptions): Promise<number> {
  const prompt = requiredText(options, "prompt");
  const maxNewTokens = integerOption(options, "maxNewTokens", 64, 1);
  const temperature = numberOption(options, "temperature", 0, 0);
  const seed = integerOption(options, "seed", 42, 0);
  const json = options["json"] === true;
  const { model, tokenizer } = await loadModel(options);
  const ids = tokenizer.encode(prompt);
  if (ids.length === 0)
    throw new CraftError({
      subject: "--prompt",
      value: prompt,
      reason: "gives no token, and a continuation needs one to go on from",
      remedy: "Give a text.",
    });
  const stream = new TextStream(tokenizer);
  const { sequences } = await generate(model, {
    inputIds: [ids],
    maxNewTokens,
    temperature,
    seed,
    onToken: ({ token }) => {
      if (!json) process.stdout.write(stream.push(token));
    },
  });
  const tokenIds = sequences[0]!;
  if (json) {
    const text = tokenizer.decode(tokenIds, { skipSpecialTokens: true });
    process.stdout.write(`${JSON.stringify({ text, token_ids: tokenIds })}\n`);
  } else process.stdout.write(`${stream.end()}\n`);
  return 0;
}
