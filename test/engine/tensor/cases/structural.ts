import * as T from "../../../../src/tensor/index.js";
import { f, frozen, op } from "./case.js";

export const structuralCases = [
  op("stopGradient", [f(3, 4), frozen(f(4))], (a, b) => a.stopGradient().mul(b), "a.detach() * b", {
    kink: true,
  }),
  op("detach", [f(3, 4)], (a) => a.detach(), "a.detach()", { kink: true }),
  op("transient", [f(3, 4), f(4)], (a, b) => a.transient().mul(b), "a * b"),
  op("customVjp", [f(3, 4), f(4)], (a, b) => clippedProduct(a, b), "clipped_product(a, b)", { kink: true }),
];

/** a * b, with gradients cut to [-0.5, 0.5] on their way in. */
function clippedProduct(a: T.Tensor, b: T.Tensor): readonly T.Tensor[] {
  return T.customVjp(
    [a, b],
    () => ({ results: [a.mul(b)], keep: { a, b } }),
    ([g], keep) => {
      const cut = g!.clamp(-0.5, 0.5);
      return [cut.mul(keep.b), cut.mul(keep.a)];
    },
  );
}
