/** @file Measures of a contrastive batch, as traced functions of tensors; those of `compute.ts` take arrays too. */
export {
  computeContrastiveAccuracy,
  computeRepresentationConsistency,
  updateRepresentationReference,
} from "./compute.js";
export type { HostVectors } from "./host.js";
export { batchAccuracy, batchReciprocalRank } from "./ranking.js";
export { alignment, referenceMomentum, representationConsistency, uniformity } from "./representation.js";
