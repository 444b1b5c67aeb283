/** @file From logits to the next token. */
import { Random } from "../random.js";
import { amax, minimum, sub, type Tensor } from "../tensor/index.js";

/** How a program picks tokens: the likeliest one, or a random one. */
export type Choice =
  | { readonly kind: "likeliest" }
  | {
      readonly kind: "random";
      /** float64 scalar above 0. */
      readonly temperature: Tensor;
      /** A number in [0, 1) for each row, float64 [rows]. */
      readonly uniform: Tensor;
    };

export type Chosen = {
  /** int64 [rows, 1] */
  readonly token: Tensor;
  /** A number for each row, NaN if one of the row's logits is. */
  readonly sound: Tensor;
};

/** @param logits [rows, vocabulary] */
export function choose(logits: Tensor, choice: Choice): Chosen {
  if (choice.kind === "likeliest") {
    const wide = logits.to("float32");
    const token = wide.argmax(-1, true);
    return { token, sound: wide.gather(1, token).reshape([-1]) };
  }
  const { temperature, uniform } = choice;
  const wide = logits.to("float64");
  // Taking the largest off first keeps every temperature finite.
  const chances = sub(wide, amax(wide, [-1], true))
    .div(temperature)
    .softmax(-1);
  return draw(chances, uniform);
}

/** Token i is drawn where the sum of the chances before it is at most u times that of all, and with it is more. */
function draw(chances: Tensor, uniform: Tensor): Chosen {
  const rows = chances.size(0);
  const sums = chances.cumsum(-1);
  const total = sums.slice(1, -1);
  const passed = sums.le(total.mul(uniform.reshape([rows, 1])));
  const token = passed.to("int64").sum([-1], true);
  return { token: minimum(token, chances.size(1) - 1), sound: total.reshape([rows]) };
}

/** The number in [0, 1) that draws a token: a function of its arguments alone. */
export const uniformFor = (seed: number, row: number, index: number): number =>
  new Random(seed, "generate", row, index).uniform();
