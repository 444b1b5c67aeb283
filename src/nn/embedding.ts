import { add, embedding, type Tensor } from "../tensor/index.js";
import type { DType } from "../torch/dtype.js";
import type { Parameter } from "../tensor/parameter.js";
import { Module } from "./module.js";

/** Something that adds to the rows of a table, such as LoRA. */
export interface EmbeddingAdapter {
  /** What is added to the rows `rows` [..., size] of the table alone, for the same ids: [..., size]. */
  delta(ids: Tensor, rows: Tensor, table: Embedding): Tensor;
  /** The table [vocabulary, size], from its own weight in float32, that alone has the same rows. */
  merged(weight: Tensor): Tensor;
}

/** A table [vocabulary, size] whose rows stand for tokens. */
export class Embedding extends Module {
  readonly weight: Parameter;
  /** Adds its delta to the rows while it is set. */
  adapter: (Module & EmbeddingAdapter) | undefined;

  constructor(weight: Parameter) {
    super();
    this.weight = weight;
    this.adapter = undefined;
  }

  /** @param ids int64 [...]; returns [..., size] as `dtype`. */
  forward(ids: Tensor, dtype: DType = this.weight.dtype): Tensor {
    const rows = embedding(this.weight, ids).to(dtype);
    return this.adapter === undefined ? rows : add(rows, this.adapter.delta(ids, rows, this));
  }
}
