export { generate, TokenGenerator } from "./generator.js";
export type { GeneratedToken, GenerateOptions, Generation, StopReason, TokenLogProb } from "./options.js";
export { streamText, type StreamedText, type StreamTextOptions } from "./stream_text.js";
