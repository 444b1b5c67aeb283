/**
 * What a gradient is divided by so that its norm does not exceed a limit: max(1, (norm + 1e-6) / maxNorm), the
 * reciprocal of what PyTorch's clip_grad_norm_ multiplies by.
 *
 * @param norm Euclidean norm of the whole gradient
 * @param maxNorm 0 never clips
 */
export function clipDivisor(norm: number, maxNorm: number): number {
  return maxNorm > 0 ? Math.max(1, (norm + 1e-6) / maxNorm) : 1;
}
