import { transpose, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import { Linear } from "./linear.js";

/** A linear layer whose weight is stored as [in, out], as GPT-2 has it. */
export class Conv1D extends Linear {
  override get inFeatures(): number {
    return this.weight.shape[0]!;
  }

  override get outFeatures(): number {
    return this.weight.shape[1]!;
  }

  override baseWeight(dtype: DType): Tensor {
    return transpose(this.weight, 0, 1).to(dtype);
  }

  override storedWeight(weight: Tensor): Tensor {
    return transpose(weight, 0, 1).contiguous();
  }
}
