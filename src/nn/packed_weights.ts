let packing = false;

/**
 * Traces `body` with linear layers that pack their weights, adapters merged into them: quicker where a program runs
 * often with few rows, as in generation, and for as long as that program lives a second copy of the weights. On the CPU
 * in float32 and bfloat16 only, and without gradients.
 */
export function withPackedWeights<T>(body: () => T): T {
  const outer = packing;
  packing = true;
  try {
    return body();
  } finally {
    packing = outer;
  }
}

/** Whether a function is being traced inside {@link withPackedWeights}. */
export const packsWeights = (): boolean => packing;
