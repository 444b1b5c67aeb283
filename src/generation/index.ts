export { generate, TokenGenerator } from "./generator.js";
export type { GeneratedToken, GenerateOptions, Generation, StopReason, TokenLogProb } from "./options.js";
