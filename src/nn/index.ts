export { Embedding } from "./embedding.js";
export { GatedMLP, swiglu } from "./gated_mlp.js";
export { kaimingUniform, normalInit, uniformInit, xavierUniform } from "./init.js";
export { Linear, linearTogether, type LinearAdapter, type LowRank } from "./linear.js";
export { checkpointName, Module } from "./module.js";
export { packsWeights, withPackedWeights } from "./packed_weights.js";
export { RMSNorm } from "./rms_norm.js";
export { applyRotary, rotaryTables, type RotaryTables } from "./rotary.js";
export { tokenLoss, type TokenLossInput } from "./token_loss.js";
