import { availableParallelism, totalmem } from "node:os";
import { autoDtype, defaultThreads, readProcessor } from "../src/torch/environment.js";

/** What of this machine numbers depend on. */
export interface Machine {
  readonly platform: string;
  readonly processors: number;
  /** That libtorch uses, on every side. */
  readonly threads: number;
  readonly features: readonly string[];
  /** Whether the processor multiplies bfloat16 in hardware. */
  readonly fast_bfloat16: boolean;
  readonly memory_bytes: number;
  readonly node: string;
}

export function describeMachine(): Machine {
  const { features } = readProcessor();
  return {
    platform: `${process.platform} ${process.arch}`,
    processors: availableParallelism(),
    threads: defaultThreads(),
    features,
    fast_bfloat16: autoDtype(features).dtype === "bfloat16",
    memory_bytes: totalmem(),
    node: process.versions.node,
  };
}
