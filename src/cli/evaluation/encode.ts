import type { Dataset } from "../../data/index.js";
import { CraftError } from "../../errors.js";
import type { Tokenizer } from "../../text/index.js";

/** Tokens of each text, of which as many as `maxLength` stay. */
export function encodeTexts(
  dataset: Dataset,
  texts: readonly string[],
  tokenizer: Tokenizer,
  maxLength: number,
): number[][] {
  let cut = 0;
  const rows = texts.map((text, i) => {
    const ids = tokenizer.encode(text);
    if (ids.length === 0)
      throw new CraftError({ subject: dataset.where(i), value: text, reason: "gives no token" });
    if (ids.length > maxLength) cut++;
    return ids.slice(0, maxLength);
  });
  if (cut > 0) process.stderr.write(`note: ${cut} of ${rows.length} rows were cut to ${maxLength} tokens\n`);
  return rows;
}
