/** @file A reference that follows the policy (Gorbatovski et al. 2024, TR-DPO). */
import type { CausalLM } from "../../models/causal_lm.js";
import { compile, HostTensor, lerp, type Parameter, type Tensor } from "../../tensor/index.js";
import type { Carried, CarriedValues } from "../../training/carried.js";

/** Moves every few steps: reference = alpha * policy + (1 - alpha) * reference. */
export class MovingReference implements Carried {
  readonly #pairs: readonly (readonly [string, Parameter, Parameter])[];
  readonly #alpha: number;
  readonly #every: number;
  #steps = 0;

  /** @param reference a copy of the policy in float32 */
  constructor(
    policy: CausalLM,
    reference: CausalLM,
    { alpha, every }: { readonly alpha: number; readonly every: number },
  ) {
    const saved = (model: CausalLM): [string, Parameter][] =>
      [...model.namedParameters()].map(([name, parameter]) => [model.savedName(name), parameter]);
    const followers = new Map(saved(reference));
    this.#pairs = saved(policy).map(([name, parameter]) => [name, parameter, followers.get(name)!]);
    this.#alpha = alpha;
    this.#every = every;
  }

  /** To be called after each step. */
  async advance(): Promise<void> {
    if (++this.#steps % this.#every !== 0) return;
    const alpha = new HostTensor([this.#alpha], [], "float64");
    const mix = compile((reference: Tensor, policy: Tensor, share: Tensor) =>
      lerp(reference, policy.to(reference.dtype), share.to(reference.dtype)),
    );
    try {
      for (const [, policy, reference] of this.#pairs)
        reference.set(await mix(reference.value, policy.value, alpha));
    } finally {
      mix.dispose();
    }
  }

  state(): CarriedValues {
    return {
      numbers: { steps: [this.#steps] },
      tensors: Object.fromEntries(this.#pairs.map(([name, , { value }]) => [name, value])),
    };
  }

  restore({ numbers, tensors }: CarriedValues): void {
    this.#steps = numbers?.["steps"]?.[0] ?? 0;
    for (const [name, , reference] of this.#pairs) {
      const saved = tensors?.[name];
      if (saved === undefined) continue;
      reference.value.copyFrom(saved);
      reference.touch();
    }
  }
}
