import { Module, type Embedding, type EmbeddingAdapter } from "../nn/index.js";
import { add, embedding, linear, mul, sub, transpose, type Parameter, type Tensor } from "../tensor/index.js";
import { magnitudeFactor } from "./magnitude.js";

/** The tensors of a table's update, float32. */
export interface EmbeddingFactors {
  /** [r, vocabulary] */
  readonly a: Parameter;
  /** [size, r] */
  readonly b: Parameter;
  /** DoRA's magnitudes [size]. */
  readonly magnitude?: Parameter | undefined;
}

/**
 * Adds scale A^T[ids] B^T to the rows of a table W. With magnitudes m the table is m (W + scale A^T B^T) / n, where n
 * is the Euclidean norm of each of its columns. There is no dropout, as in PEFT.
 */
export class LoraEmbedding extends Module implements EmbeddingAdapter {
  readonly loraEmbeddingA: Parameter;
  readonly loraEmbeddingB: Parameter;
  readonly loraMagnitudeVector: Parameter | undefined;
  readonly #scale: number;

  constructor({ a, b, magnitude }: EmbeddingFactors, scale: number) {
    super();
    this.loraEmbeddingA = a;
    this.loraEmbeddingB = b;
    this.loraMagnitudeVector = magnitude;
    this.#scale = scale;
  }

  get scale(): number {
    return this.#scale;
  }

  /** What is trained, by the name that follows the table's path in files. */
  *trained(): Generator<readonly [string, Parameter]> {
    yield ["lora_embedding_A", this.loraEmbeddingA];
    yield ["lora_embedding_B", this.loraEmbeddingB];
    if (this.loraMagnitudeVector !== undefined) yield ["lora_magnitude_vector", this.loraMagnitudeVector];
  }

  delta(ids: Tensor, rows: Tensor, table: Embedding): Tensor {
    const { dtype } = rows;
    const up = mul(this.loraEmbeddingB, this.#scale);
    const low = embedding(transpose(this.loraEmbeddingA, 0, 1), ids).to(dtype);
    if (this.loraMagnitudeVector === undefined) return linear(low, up.to(dtype));
    const factor = this.#factor(this.#updated(table.weight.to("float32")))!;
    const scaled = mul(up, factor.unsqueeze(1)).to(dtype);
    return add(mul(rows, sub(factor, 1).to(dtype)), linear(low, scaled));
  }

  merged(weight: Tensor): Tensor {
    const whole = this.#updated(weight);
    const factor = this.#factor(whole);
    return factor === undefined ? whole : mul(whole, factor);
  }

  #factor(whole: Tensor): Tensor | undefined {
    return this.loraMagnitudeVector && magnitudeFactor(this.loraMagnitudeVector, whole, 0);
  }

  #updated(weight: Tensor): Tensor {
    const update = transpose(this.loraEmbeddingB.matmul(this.loraEmbeddingA), 0, 1);
    return add(weight, mul(update, this.#scale));
  }
}
