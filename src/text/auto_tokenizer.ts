import path from "node:path";
import { Tokenizer } from "./tokenizer.js";
import { jsonOf, readTokenizerFiles, templatesOf } from "./tokenizer_files.js";

/** Reads the tokenizer of a model folder. */
export const AutoTokenizer = {
  /**
   * Reads tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja and
   * additional_chat_templates; all but the first may be absent.
   * @param folder path of a model folder
   * @throws CraftError naming the file, what is wrong with it and what to do
   */
  async fromPretrained(folder: string): Promise<Tokenizer> {
    const files = await readTokenizerFiles(folder);
    return new Tokenizer({
      tokenizerJson: jsonOf(files, "tokenizer.json", folder),
      config: jsonOf(files, "tokenizer_config.json", folder),
      specialTokensMap: jsonOf(files, "special_tokens_map.json", folder),
      addedTokens: jsonOf(files, "added_tokens.json", folder),
      chatTemplates: templatesOf(files, folder),
      files,
      name: path.normalize(folder),
    });
  },
};
