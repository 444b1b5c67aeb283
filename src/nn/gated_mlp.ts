import { customVjp, mul, silu, siluBackward, type Tensor } from "../tensor/index.js";
import { activate, type Activation } from "./activation.js";
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

/** act(gate) * up */
export const gated = (gate: Tensor, up: Tensor, activation: Activation): Tensor =>
  activation === "silu" ? swiglu(gate, up) : mul(activate(gate, activation), up);

/** down(act(gate(x)) * up(x)), the feed-forward part of Llama's blocks. */
export class GatedMLP extends Module {
  readonly gateProj: Linear;
  readonly upProj: Linear;
  readonly downProj: Linear;
  readonly #activation: Activation;

  constructor(gateProj: Linear, upProj: Linear, downProj: Linear, activation: Activation = "silu") {
    super();
    this.gateProj = gateProj;
    this.upProj = upProj;
    this.downProj = downProj;
    this.#activation = activation;
  }

  forward(x: Tensor): Tensor {
    const [gate, up] = linearTogether([this.gateProj, this.upProj], x);
    return this.downProj.forward(gated(gate, up, this.#activation));
  }
}
