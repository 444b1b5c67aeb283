export { corpusBleu, type BleuOptions, type BleuScore } from "./bleu.js";
export { bleuTokenizers, tokenizeForBleu, type BleuTokenizer } from "./bleu_tokenizers.js";
export { evaluateLoss, type Loss, type LossOptions } from "./loss.js";
export {
  contrastiveAccuracy,
  retrieval,
  type RetrievalOptions,
  type RetrievalScores,
  type Vectors,
} from "./retrieval.js";
