/** @file Tokenizers, chat templates and masks. */
export { AutoTokenizer } from "./auto_tokenizer.js";
export { type ChatMessage, type RenderOptions } from "./chat_template.js";
export { type Offset } from "./offsets.js";
export { TextStream, type StreamTokenizer, type TextStreamOptions } from "./text_stream.js";
export { Tokenizer, type ChatTemplateOptions, type EncodeOptions, type MaskedChat } from "./tokenizer.js";
export { type TokenizerSource } from "./tokenizer_config.js";
