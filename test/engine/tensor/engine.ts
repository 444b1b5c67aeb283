import { loadTorch } from "../../../src/torch/torch.js";

/**
 * Loads libtorch with one thread: the tensors of these tests are tiny, and on a busy machine threads that wait for each
 * other take most of the time.
 */
export async function startEngine(): Promise<void> {
  process.env["OMP_NUM_THREADS"] ??= "1";
  await loadTorch();
}
