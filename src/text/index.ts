export type { MarkedText, Span } from "./assistant_mask.js";
export { AutoTokenizer } from "./auto_tokenizer.js";
export type { ChatMessage, RenderChatOptions } from "./chat_template.js";
export type { Encoding } from "./encoding/pipeline.js";
export { TextStream } from "./text_stream.js";
export type {
  ChatTemplateOptions,
  DecodeOptions,
  EncodeOptions,
  MaskedChat,
  TokenizerSource,
} from "./tokenizer.js";
export { Tokenizer } from "./tokenizer.js";
