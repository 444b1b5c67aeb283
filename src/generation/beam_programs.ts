/** @file The programs of beam search: one for prompts, one for each further token. */
import type { CausalLM } from "../models/causal_lm.js";
import { compile, ones, type Compiled, type Tensor } from "../tensor/index.js";
import type { Device } from "../torch/device.js";
import { repeated, repeatRows, reordered, type KeyValues } from "./cache.js";
import { passesOf } from "./passes.js";
import { penalise } from "./processors.js";
import { tokensOf, type Past } from "./programs.js";

/** What a program leaves behind. Rows are beams, those of one prompt one after the other. */
export type BeamStep = {
  /** The best continuations of each prompt's beams, [prompts, keep]: sums of log-probabilities, in float32. */
  readonly scores: Tensor;
  /** beam * vocabulary + token of each, int64 [prompts, keep]. */
  readonly places: Tensor;
  readonly cache: KeyValues;
  readonly seen: Tensor | undefined;
};

export type BeamPlan = {
  readonly capacity: number;
  /** Beams of each prompt. */
  readonly beams: number;
  /** Continuations of each prompt that are wanted. */
  readonly keep: number;
  readonly structure: string;
};

export interface BeamPrograms {
  /**
   * @param inputIds int64 [prompts, columns], padded on the left
   * @param starts int64 [prompts]
   * @param sums float32 [rows], 0 for one beam of each prompt and very low for the others
   * @param penalty repetition penalty, a float32 scalar
   */
  readonly prompt: Compiled<[Tensor, Tensor, Tensor, Tensor | undefined, BeamPlan], BeamStep>;
  /**
   * @param token int64 [rows, 1]
   * @param order int64 [rows]: which row of the step before each row goes on from
   * @param starts int64 [rows]
   * @param sums float32 [rows], the beams' sums of log-probabilities so far
   * @param column int64 [1]
   * @param past what the step before left behind; it is consumed
   */
  readonly next: Compiled<
    [Tensor, Tensor, Tensor, Tensor, Tensor | undefined, Tensor, Past, BeamPlan],
    BeamStep
  >;
  dispose(): void;
}

export function makeBeamPrograms(model: CausalLM, device: Device, packed: boolean): BeamPrograms {
  const passes = passesOf(model, packed);
  const options = { device, cacheSize: 32 };

  const prompt: BeamPrograms["prompt"] = compile((inputIds, starts, sums, penalty, plan) => {
    const { logits, cache } = passes.prompt(inputIds, starts, plan.capacity);
    const seen = penalty && repeatRows(tokensOf(inputIds, starts, logits.size(1)), plan.beams);
    return {
      ...best(repeatRows(logits, plan.beams), sums, penalty, seen, plan),
      cache: repeated(cache, plan.beams),
      seen,
    };
  }, options);

  const next: BeamPrograms["next"] = compile(
    (token, order, starts, sums, penalty, column, past, plan) => {
      const { logits, cache } = passes.next(token, starts, column, reordered(past.cache, order));
      const seen = past.seen?.indexSelect(0, order).scatterAdd(1, token, ones(token.shape, "int32"));
      return { ...best(logits, sums, penalty, seen, plan), cache, seen };
    },
    { ...options, donate: [6] },
  );
  return { prompt, next, dispose: () => [prompt, next].forEach((program) => program.dispose()) };
}

/** As in transformers, a repetition penalty acts on log-probabilities here, not on logits. */
function best(
  logits: Tensor,
  sums: Tensor,
  penalty: Tensor | undefined,
  seen: Tensor | undefined,
  { beams, keep }: BeamPlan,
): Pick<BeamStep, "scores" | "places"> {
  const [rows, vocabulary] = logits.shape as readonly [number, number];
  const own = logits.to("float32").logSoftmax(-1);
  const scores = penalty === undefined || seen === undefined ? own : penalise(own, seen, penalty);
  const all = scores.add(sums.reshape([rows, 1])).reshape([rows / beams, beams * vocabulary]);
  const { values, indices } = all.topk(keep, -1);
  return { scores: values, places: indices };
}
