export type { Generation } from "./batch.js";
export { generate, TokenGenerator } from "./generator.js";
export type { GeneratedToken, GenerateOptions, StopReason } from "./options.js";
