/**
 * @file The public API in one place. Each area can also be imported by itself, e.g. `contrastive-ft/tensor`.
 */
export { CraftError, type Complaint } from "./errors.js";
export { Random } from "./random.js";
export * from "./torch/index.js";
export * from "./tensor/index.js";
export * from "./nn/index.js";
export * from "./hub/index.js";
export * from "./models/index.js";
export * from "./text/index.js";
export * from "./data/index.js";
export * from "./peft/index.js";
export * from "./generation/index.js";
export * from "./optim/index.js";
export * from "./training/index.js";
export * from "./trainers/index.js";
export * from "./craft/index.js";
export * from "./evaluation/index.js";
export * from "./report/index.js";
