/** @file The contrastive loss of CRAFT and its parts. */
export { combineCraftLosses, requireAlpha } from "./combine.js";
export { infoNCE, type ContrastInput, type ContrastOutput } from "./contrast.js";
export { requireNegatives, sameTexts, type TextHashes } from "./duplicates.js";
export {
  InfoNCELoss,
  temperatureRange,
  type Contrast,
  type InfoNCEInput,
  type InfoNCEOptions,
  type InfoNCEOutput,
  type PooledContrast,
} from "./info_nce.js";
export { pool, poolings, type Pooling } from "./pooling.js";
export { ProjectionHead, type ProjectionHeadOptions } from "./projection_head.js";
