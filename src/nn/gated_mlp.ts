import { customVjp, gelu, mul, silu, siluBackward, type Tensor } from "../tensor/index.js";
import { Module } from "./module.js";
import { linearTogether, type Linear } from "./linear.js";

/** silu(gate) * up (Shazeer 2020). */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return customVjp(
    [gate, up],
    (g, u) => {
      const activated = silu(g);
      return { results: [mul(activated, u)], keep: { gate: g, up: u, activated } };
    },
    ([gradient], { gate: g, up: u, activated }) => [
      siluBackward(mul(gradient!, u), g),
      mul(gradient!, activated),
    ],
  )[0]!;
}

/** `gelu_tanh` is GELU by its tanh approximation. */
export type GateActivation = "silu" | "gelu" | "gelu_tanh";

/** down(act(gate(x)) * up(x)), the feed-forward part of Llama's blocks. */
export class GatedMLP extends Module {
  readonly gateProj: Linear;
  readonly upProj: Linear;
  readonly downProj: Linear;
  readonly #activation: GateActivation;

  constructor(gateProj: Linear, upProj: Linear, downProj: Linear, activation: GateActivation = "silu") {
    super();
    this.gateProj = gateProj;
    this.upProj = upProj;
    this.downProj = downProj;
    this.#activation = activation;
  }

  forward(x: Tensor): Tensor {
    const [gate, up] = linearTogether([this.gateProj, this.upProj], x);
    const activation = this.#activation;
    if (activation === "silu") return this.downProj.forward(swiglu(gate, up));
    return this.downProj.forward(mul(gelu(gate, activation === "gelu" ? "none" : "tanh"), up));
  }
}
