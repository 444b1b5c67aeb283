export { bleuSmoothings, corpusBleu, type BleuOptions, type BleuScore, type BleuSmoothing } from "./bleu.js";
export { bleuTokenizers, tokenizeForBleu, type BleuTokenizer } from "./bleu_tokenizers.js";
export { corpusChrf, type ChrfOptions, type ChrfScore } from "./chrf.js";
export { evaluateLoss, type Loss, type LossOptions } from "./loss.js";
export { contrastiveAccuracy, retrieval, type RetrievalOptions, type RetrievalScores } from "./retrieval.js";
export { corpusRouge, rouge, rougeKinds, type RougeKind, type RougeScore } from "./rouge.js";
export type { References } from "./segments.js";
export { alignmentScore, uniformityScore } from "./spread.js";
export type { Vectors } from "./vectors.js";
