/** @file The contrastive objectives of CRAFT's trainers. */
export { ContrastiveObjective } from "./contrastive.js";
export { ContrastiveMemory, RepresentationReference } from "./memory.js";
export type { PooledObjectiveOptions } from "./pooled.js";
export { SelfAlignObjective, type SelfAlignObjectiveOptions } from "./self_align.js";
