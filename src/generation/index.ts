export { generate, TokenGenerator, type Generation } from "./generator.js";
export type { GeneratedToken, GenerateOptions, StopReason } from "./options.js";
