import { gelu, silu, type Tensor } from "../tensor/index.js";

/** `gelu_tanh` is GELU by its tanh approximation. */
export type Activation = "silu" | "gelu" | "gelu_tanh";

export const activate = (x: Tensor, activation: Activation): Tensor =>
  activation === "silu" ? silu(x) : gelu(x, activation === "gelu" ? "none" : "tanh");
