/** @file What CRAFT says in a log entry. */
import { liveTensors } from "../torch/device_tensor.js";
import type { LogEntry, RunningTotals, TaskMeans } from "../training/index.js";
import { balances } from "./balancing.js";
import type { CraftArguments } from "./config.js";

/**
 * Losses always, the factors of gradients where they change, and the metrics that `craftReportMetrics` names.
 *
 * @param base the name of the base objective
 * @param shares what its tasks count in its loss
 */
export function craftLogEntry(
  args: CraftArguments,
  base: string,
  shares: Readonly<Record<string, number>>,
  totals: RunningTotals,
  { norms, factors }: TaskMeans,
): LogEntry {
  const { craftAlpha: alpha, craftReportMetrics: wanted, craftDebug } = args;
  const parts = Object.entries(shares).flatMap(([task, share]) => {
    const mean = totals.loss(task);
    return mean === undefined ? [] : [share * mean];
  });
  const own = parts.length === 0 ? undefined : parts.reduce((a, b) => a + b);
  const contrastive = totals.loss("contrastive");
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
