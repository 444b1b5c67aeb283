/** @file Measures of a contrastive batch, as traced functions of tensors. */
export { batchAccuracy, batchReciprocalRank } from "./ranking.js";
export {
  alignment,
  referenceMomentum,
  representationConsistency,
  uniformity,
  updateRepresentationReference,
} from "./representation.js";
