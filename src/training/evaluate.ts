import type { Loader } from "../data/loader.js";
import type { CausalLM } from "../models/causal_lm.js";
import type { LogEntry } from "./callbacks.js";
import type { OnPrediction } from "./loop_state.js";
import { RunningTotals } from "./metrics.js";
import { MicroBatchRunner } from "./micro_batch.js";
import type { Objective } from "./objective.js";

/**
 * Mean loss of an objective over a loader, each batch counting by its weight, without gradients. Mixtures play no
 * part, so that an evaluation loss means the same whatever is trained beside it.
 *
 * @param onPrediction told after each batch; what it throws ends the evaluation
 * @returns `eval_loss` (for the first task) or `eval_<task>_loss`, the metrics as `eval_<name>`, and `eval_runtime`
 */
export async function evaluateObjective<Batch>(
  model: CausalLM,
  objective: Objective<Batch>,
  loader: Loader<Batch>,
  mainTask: string,
  onPrediction?: OnPrediction,
): Promise<LogEntry> {
  const runner = new MicroBatchRunner(objective, { model, parameters: [], gradientCheckpointing: false });
  const totals = new RunningTotals();
  const began = performance.now();
  const start = loader.state();
  let done = 0;
  try {
    for await (const batch of loader) {
      const results = await runner.evaluate(batch);
      totals.add(new Map(Object.entries(results)));
      await onPrediction?.({ batch: ++done, batches: loader.length });
    }
  } catch (error) {
    // An evaluation always sees all batches, also one after another that was left in the middle.
    loader.restore(start);
    throw error;
  } finally {
    runner.dispose();
  }
  const losses = totals.tasks.map(
    (task) => [task === mainTask ? "eval_loss" : `eval_${task}_loss`, totals.loss(task)] as const,
  );
  const metrics = Object.entries(totals.metrics()).map(([name, value]) => [`eval_${name}`, value] as const);
  return {
    ...Object.fromEntries(losses),
    ...Object.fromEntries(metrics),
    eval_runtime: (performance.now() - began) / 1000,
  };
}
