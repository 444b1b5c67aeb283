/** @file The contrastive loss of CRAFT and its parts. */
export { combineCraftLosses, requireAlpha } from "./combine.js";
export { infoNCE, type ContrastInput, type ContrastOutput } from "./contrast.js";
export {
  anchorsWithNegatives,
  hasNegatives,
  positivesWithNegatives,
  requireNegatives,
  sameTexts,
  type HostHashes,
  type TextHashes,
} from "./duplicates.js";
export {
  InfoNCELoss,
  temperatureRange,
  type Contrast,
  type ContrastVectors,
  type InfoNCEInput,
  type InfoNCEOptions,
  type InfoNCEOutput,
  type PooledContrast,
} from "./info_nce.js";
export {
  NegativeQueue,
  queuedNegatives,
  type NegativeQueueOptions,
  type QueueFeeds,
  type TracedQueue,
} from "./negative_queue.js";
export { pool, poolings, type Pooling } from "./pooling.js";
export { ProjectionHead, type ProjectionHeadOptions } from "./projection_head.js";
