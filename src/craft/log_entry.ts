/** @file What CRAFT says in a log entry. */
import { liveTensors } from "../torch/device_tensor.js";
import type { LogEntry, RunningTotals, TaskMeans } from "../training/index.js";
import { balances } from "./balancing.js";
import type { CraftArguments } from "./config.js";

/**
 * Losses always, the factors of gradients where they change, and the metrics that `craftReportMetrics` names.
 *
 * @param base the task of the base objective
 */
export function craftLogEntry(
  args: CraftArguments,
  base: string,
  totals: RunningTotals,
  { norms, factors }: TaskMeans,
): LogEntry {
  const { craftAlpha: alpha, craftReportMetrics: wanted, craftDebug } = args;
  const [own, contrastive] = [totals.loss(base), totals.loss("contrastive")];
  const left = new Set<string>(wanted.map((name) => `metrics/craft_${name}`));
  const measured = Object.entries(totals.metrics()).filter(
    ([name]) => !name.startsWith("metrics/craft_") || left.has(name),
  );
  const lengths = wanted.includes("gradient_norm") ? Object.entries(norms) : [];
  const weighed = balances(args) ? Object.entries(factors) : [];
  return {
    [`loss/craft_${base}`]: own,
    "loss/craft_contrast": contrastive,
    "loss/craft_total": alpha * (own ?? 0) + (1 - alpha) * (contrastive ?? 0),
    ...Object.fromEntries(measured),
    ...Object.fromEntries(lengths.map(([task, norm]) => [`grad_norm/${task}`, norm])),
    ...Object.fromEntries(weighed.map(([task, factor]) => [`gradient_weight/${task}`, factor])),
    ...(craftDebug && {
      "debug/live_tensors": liveTensors(),
      "debug/resident_mib": process.memoryUsage.rss() / 2 ** 20,
    }),
  };
}
