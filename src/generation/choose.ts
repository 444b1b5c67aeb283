/** @file From logits to the next token. */
import { Random } from "../random.js";
import { minimum, ones, type Tensor } from "../tensor/index.js";
import { filter, penalise, type Filters } from "./processors.js";

/** How a program picks tokens. */
export type Choice = {
  /** Undefined takes the likeliest token. */
  readonly sampling: Sampling | undefined;
  /** Repetition penalty, a float32 scalar above 0. */
  readonly penalty: Tensor | undefined;
  /** Tell log-probabilities: of the token chosen and of this many likeliest ones. Part of the program. */
  readonly logProbs: number | undefined;
  /** What logits are divided by for them, a float64 scalar; 1 if undefined. */
  readonly logProbsTemperature: Tensor | undefined;
};

export type Sampling = Filters & {
  /** A number in [0, 1) for each row, float64 [rows]. */
  readonly uniform: Tensor;
};

export type Chosen = {
  /** int64 [rows, 1] */
  readonly token: Tensor;
  /** A number for each row, NaN if one of the row's logits is. */
  readonly sound: Tensor;
  /** How often each row has each token, the one chosen included, int32 [rows, vocabulary]. */
  readonly seen: Tensor | undefined;
  readonly logProbs: LogProbs | undefined;
};

/** By the model itself: log softmax of its logits in float32 over a temperature, before penalty and filters. */
export type LogProbs = {
  /** Of the token chosen, [rows]. */
  readonly chosen: Tensor;
  /** The likeliest tokens, [rows, n], from the likeliest on. */
  readonly top: { readonly values: Tensor; readonly indices: Tensor } | undefined;
};

/**
 * @param logits [rows, vocabulary]
 * @param seen int32 [rows, vocabulary], needed for a repetition penalty
 */
export function choose(logits: Tensor, choice: Choice, seen?: Tensor): Chosen {
  const wide = logits.to("float32");
  const { penalty, sampling } = choice;
  const scores = penalty === undefined || seen === undefined ? wide : penalise(wide, seen, penalty);
  const { token, sound } = sampling === undefined ? likeliest(scores) : draw(scores, sampling);
  return {
    token,
    sound,
    seen: seen?.scatterAdd(1, token, ones(token.shape, "int32")),
    logProbs: choice.logProbs === undefined ? undefined : logProbsOf(wide, token, choice),
  };
}

type Picked = Pick<Chosen, "token" | "sound">;

function likeliest(scores: Tensor): Picked {
  const token = scores.argmax(-1, true);
  return { token, sound: scores.gather(1, token).reshape([-1]) };
}

/** Token i is drawn where the sum of the chances before it is at most u times that of all, and with it is more. */
function draw(scores: Tensor, sampling: Sampling): Picked {
  const chances = filter(scores.to("float64"), sampling).softmax(-1);
  const rows = chances.size(0);
  const sums = chances.cumsum(-1);
  const total = sums.slice(1, -1);
  const passed = sums.le(total.mul(sampling.uniform.reshape([rows, 1])));
  const token = passed.to("int64").sum([-1], true);
  return { token: minimum(token, chances.size(1) - 1), sound: total.reshape([rows]) };
}

function logProbsOf(
  logits: Tensor,
  token: Tensor,
  { logProbs: count = 0, logProbsTemperature: t }: Choice,
): LogProbs {
  const all = (t === undefined ? logits : logits.div(t.to(logits.dtype))).logSoftmax(-1);
  return {
    chosen: all.gather(1, token).reshape([-1]),
    top: count === 0 ? undefined : all.topk(count, -1),
  };
}

/** The number in [0, 1) that draws a token: a function of its arguments alone. */
export const uniformFor = (seed: number, row: number, index: number): number =>
  new Random(seed, "generate", row, index).uniform();
