import { CraftError } from "../../errors.js";
import type { PostProcessorConfig } from "./config.js";

/** The special tokens around an encoded text. */
export interface Frame {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const empty: Frame = { before: [], after: [] };

/** What a post-processor puts around a single text. Its trimming of offsets is left out. */
export function makeFrame(config: PostProcessorConfig | null | undefined): Frame {
  if (config === null || config === undefined) return empty;
  switch (config.type) {
    case "ByteLevel":
      return empty;
    case "BertProcessing":
    case "RobertaProcessing":
      return { before: [config.cls[1]], after: [config.sep[1]] };
    case "TemplateProcessing":
      return template(config);
    case "Sequence": {
      const wrap = (inner: Frame, outer: Frame): Frame => {
        return { before: [...outer.before, ...inner.before], after: [...inner.after, ...outer.after] };
      };
      return config.processors.map(makeFrame).reduce(wrap, empty);
    }
  }
}

function template(config: Extract<PostProcessorConfig, { type: "TemplateProcessing" }>): Frame {
  const before: number[] = [];
  const after: number[] = [];
  let side = before;
  for (const item of config.single) {
    if ("Sequence" in item) {
      side = after;
      continue;
    }
    const special = config.special_tokens[item.SpecialToken.id];
    if (special === undefined) {
      throw new CraftError({
        subject: "post_processor.single in tokenizer.json",
        value: item.SpecialToken.id,
        reason: "special_tokens beside it does not say which ids this stands for",
        remedy: "The file is damaged: fetch it again",
      });
    }
    side.push(...special.ids);
  }
  return { before, after };
}
