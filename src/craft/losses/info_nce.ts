import { refuseUnknown, requireOneOf } from "../../data/options.js";
import { CraftError } from "../../errors.js";
import { Module } from "../../nn/index.js";
import {
  cat,
  constant,
  exp,
  full,
  logicalAnd,
  neg,
  normalize,
  Parameter,
  reshape,
  slice,
  type Tensor,
} from "../../tensor/index.js";
import { cpu, type Device } from "../../torch/device.js";
import { DeviceTensor } from "../../torch/device_tensor.js";
import { infoNCE, type ContrastOutput } from "./contrast.js";
import type { TextHashes } from "./duplicates.js";
import { pool, poolings, wideDType, type Pooling } from "./pooling.js";
import { ProjectionHead } from "./projection_head.js";

/** Temperatures outside are refused, and a learnable one is brought back after each step. */
export const temperatureRange = { min: 0.01, max: 100 } as const;

export interface InfoNCEOptions {
  /** Size of the model's hidden states. */
  readonly hiddenSize: number;
  /** Size in which texts are compared; null compares the pooled hidden states themselves. Default 256. */
  readonly projectionDim?: number | null;
  /** Dropout inside the projection head in training, in [0, 1). Default 0. */
  readonly projectionDropout?: number;
  /** Default "last_token". */
  readonly pooling?: Pooling;
  /** Divides the cosines; the initial value of a learnable one. From 0.01 to 100, default 0.05. */
  readonly temperature?: number;
  /** Whether the logarithm of the temperature is a trained parameter. Default false. */
  readonly learnableTemperature?: boolean;
  /** Whether positives are also asked for their anchors: the mean of both losses. Default false. */
  readonly symmetric?: boolean;
  /** Of the projection head's weights. Default 0. */
  readonly seed?: number;
  /** Where the parameters are. Default the CPU. */
  readonly device?: Device;
}

const optionNames = [
  "hiddenSize",
  "projectionDim",
  "projectionDropout",
  "pooling",
  "temperature",
  "learnableTemperature",
  "symmetric",
  "seed",
  "device",
] as const satisfies readonly (keyof InfoNCEOptions)[];

/** What else an anchor is contrasted with, and what it is not. */
export interface Contrast {
  /**
   * More negatives for every anchor, projected and normalised, [m, d]: those of a queue. No gradient is needed
   * towards them, but there is one if they are computed in the same program.
   */
  readonly negatives?: Tensor | undefined;
  /** Bool [n, m]: false where one of `negatives` is not to be a negative of an anchor. */
  readonly negativesAllowed?: Tensor | undefined;
  /** Leaves out the negatives that say the same as the pair; see {@link sameTexts}. */
  readonly hashes?: TextHashes | undefined;
  /**
   * Bool [n, c]: false where a candidate is not to be a negative of an anchor. Candidates are the n positives, hard
   * negatives of the batch, the further ones, and hard negatives of an anchor's own. A pair's own positive counts
   * whatever stands there.
   */
  readonly allowed?: Tensor | undefined;
}

export interface PooledContrast extends Contrast {
  /**
   * Pooled hard negatives, which pass through the projection head: [k, h] for every anchor of the batch, or [n, k, h]
   * for each anchor its own.
   */
  readonly hardNegatives?: Tensor | undefined;
}

/** Unit vectors in the space of comparison, as {@link InfoNCELoss.embed} gives them. */
export interface ContrastVectors extends Contrast {
  /** [n, d] */
  readonly anchor: Tensor;
  /** [n, d] */
  readonly positive: Tensor;
  /** [k, d] for every anchor of the batch, or [n, k, d] for each anchor its own. */
  readonly hardNegatives?: Tensor | undefined;
}

/** Hidden states [n, length, h] with masks [n, length] that are 1 at the positions of the text. */
export interface InfoNCEInput extends Contrast {
  readonly anchorHidden: Tensor;
  readonly anchorMask: Tensor;
  readonly positiveHidden: Tensor;
  readonly positiveMask: Tensor;
  /** Hard negatives of all anchors, [k, length, h], or of each anchor its own, [n, k, length, h]. */
  readonly negativeHidden?: Tensor | undefined;
  /** [k, length] or [n, k, length] */
  readonly negativeMask?: Tensor | undefined;
}

/** For n pairs and c candidates. */
export interface InfoNCEOutput extends ContrastOutput {
  readonly temperature: Tensor;
  /** Projected and normalised, [n, d]. */
  readonly anchor: Tensor;
  /** Projected and normalised, [n, d]. */
  readonly positive: Tensor;
}

/**
 * InfoNCE (van den Oord et al. 2018): how well each anchor's own positive can be told from the others. For pair i
 *
 *     -log( e^(cos(a_i, p_i) / t) / sum over candidates j of e^(cos(a_i, c_j) / t) )
 *
 * with a = normalise(head(pool(anchor))) and so on. Candidates are the positives of the batch, hard negatives, and
 * given further ones, less those that say the same as the pair. With `symmetric`, half of this plus half of the same
 * for p_i among the anchors of the batch (Radford et al. 2021), where further negatives are no candidates.
 *
 * Parameters are made here, not in the first call. Everything is computed in float32, whatever the model uses.
 *
 * @example
 * const nce = new InfoNCELoss({ hiddenSize: model.shape.hiddenSize });
 * const { sum, weight } = nce.forward({ anchorHidden, anchorMask, positiveHidden, positiveMask });
 */
export class InfoNCELoss extends Module {
  /** Undefined where pooled hidden states are compared as they are. */
  readonly projectionHead: ProjectionHead | undefined;
  /** Natural logarithm of a learnable temperature, []. */
  readonly logTemperature: Parameter | undefined;
  readonly pooling: Pooling;
  readonly symmetric: boolean;
  readonly #hiddenSize: number;
  readonly #temperature: number;

  /** libtorch must be loaded. @throws {@link CraftError} for options out of range, and for unknown ones. */
  constructor(options: InfoNCEOptions) {
    super();
    refuseUnknown("InfoNCELoss", options, optionNames);
    const { hiddenSize, projectionDim = 256, projectionDropout = 0, temperature = 0.05 } = options;
    const { pooling = "last_token", learnableTemperature = false, symmetric = false } = options;
    const { seed = 0, device = cpu } = options;
    requireSize("hiddenSize", hiddenSize);
    if (projectionDim !== null) requireSize("projectionDim", projectionDim);
    if (!(projectionDropout >= 0 && projectionDropout < 1))
      throw new CraftError({
        subject: "projectionDropout",
        value: projectionDropout,
        reason: "must be at least 0 and below 1",
      });
    requireTemperature(temperature);
    this.pooling = requireOneOf("pooling", pooling, poolings);
    this.symmetric = symmetric;
    this.#hiddenSize = hiddenSize;
    this.#temperature = temperature;
    this.projectionHead =
      projectionDim === null
        ? undefined
        : new ProjectionHead({ hiddenSize, projectionDim, dropout: projectionDropout, seed, device });
    this.logTemperature = learnableTemperature
      ? new Parameter(DeviceTensor.full([], Math.log(temperature), "float32", device))
      : undefined;
  }

  /** The temperature now, read from the parameter if it is learnable. */
  get temperature(): number {
    return this.logTemperature === undefined ? this.#temperature : Math.exp(this.logTemperature.value.item());
  }

  /**
   * Brings a learnable temperature back into [0.01, 100]. To be called after each optimiser step: the forward pass
   * does not clamp, since a clamped temperature would get no gradient and never come back by itself.
   *
   * @returns whether it had left the range.
   */
  limitTemperature(): boolean {
    if (this.logTemperature === undefined) return false;
    const { min, max } = temperatureRange;
    const { value } = this.logTemperature;
    const log = value.item();
    if (Number.isNaN(log))
      throw new CraftError({
        subject: "craftTemperature",
        value: "NaN",
        reason: "the learnable temperature is not a number any more",
        remedy: "Lower the learning rate, or clip gradients",
      });
    // The limits as float32 has them, or a temperature at the limit would be brought back for ever.
    const inside = Math.min(Math.max(log, Math.fround(Math.log(min))), Math.fround(Math.log(max)));
    if (inside === log) return false;
    this.logTemperature.set(DeviceTensor.full([], inside, "float32", value.device));
    return true;
  }

  /** The loss of hidden states: pools them, then as {@link forwardFromPooled}. */
  forward(input: InfoNCEInput): InfoNCEOutput {
    const { anchorHidden, anchorMask, positiveHidden, positiveMask, negativeHidden, negativeMask } = input;
    if ((negativeHidden === undefined) !== (negativeMask === undefined))
      throw new TypeError("InfoNCELoss: negativeHidden and negativeMask go together.");
    return this.forwardFromPooled(
      this.pool(anchorHidden, anchorMask),
      this.pool(positiveHidden, positiveMask),
      {
        ...input,
        hardNegatives:
          negativeHidden === undefined || negativeMask === undefined
            ? undefined
            : this.pool(negativeHidden, negativeMask),
      },
    );
  }

  /**
   * One vector a text, [n, h] in float32, from hidden states [n, length, h] and a mask [n, length]; or [n, k, h], from
   * [n, k, length, h] and [n, k, length].
   */
  pool(hidden: Tensor, mask: Tensor): Tensor {
    if (hidden.ndim !== 4) return pool(hidden, mask, this.pooling);
    const [n, k, length, size] = hidden.shape as readonly [number, number, number, number];
    const flat = pool(reshape(hidden, [n * k, length, size]), reshape(mask, [n * k, length]), this.pooling);
    return reshape(flat, [n, k, size]);
  }

  /** Pooled vectors [n, h] to unit vectors in the space of comparison, [n, d]. */
  project(pooled: Tensor): Tensor {
    const wide = pooled.to(wideDType(pooled));
    return normalize(this.projectionHead?.forward(wide) ?? wide);
  }

  /** Hidden states [n, length, h] with a mask [n, length] to unit vectors in the space of comparison, [n, d]. */
  embed(hidden: Tensor, mask: Tensor): Tensor {
    return this.project(this.pool(hidden, mask));
  }

  /**
   * The loss of pooled vectors.
   *
   * @param anchor [n, h]
   * @param positive [n, h]
   * @throws {@link CraftError} where one pair stands alone, without any negative.
   */
  forwardFromPooled(anchor: Tensor, positive: Tensor, contrast: PooledContrast = {}): InfoNCEOutput {
    const { hardNegatives: hard } = contrast;
    const size = this.#hiddenSize;
    requireVectors("pooled vectors", size, { anchor, positive, hardNegatives: hard });
    const n = anchor.shape[0]!;
    // All sides pass through the head as rows of one matrix.
    const rows = [anchor, positive, ...(hard === undefined ? [] : [reshape(hard, [-1, size])])];
    const vectors = this.project(cat(rows));
    const others = hard && slice(vectors, 0, 2 * n);
    return this.contrast({
      ...contrast,
      anchor: slice(vectors, 0, 0, n),
      positive: slice(vectors, 0, n, 2 * n),
      hardNegatives: hard && others && reshape(others, [...hard.shape.slice(0, -1), -1]),
    });
  }

  /**
   * The loss of vectors that {@link embed} gave, perhaps in other programs: what is left when the model has run.
   *
   * @throws {@link CraftError} where one pair stands alone, without any negative.
   */
  contrast(input: ContrastVectors): InfoNCEOutput {
    const { anchor, positive, hardNegatives: hard, negatives, hashes } = input;
    requireVectors("vectors", anchor.shape[1]!, { anchor, positive, hardNegatives: hard, negatives });
    const own = hard?.ndim === 3 ? hard : undefined;
    const shared = [
      positive,
      ...(hard === undefined || own ? [] : [hard]),
      ...(negatives ? [negatives] : []),
    ];
    const log = this.logTemperature?.to(anchor.dtype);
    const contrasted = infoNCE({
      anchor,
      candidates: shared.length === 1 ? positive : cat(shared.map((each) => each.to(anchor.dtype))),
      ownNegatives: own,
      inverseTemperature: log === undefined ? 1 / this.#temperature : exp(neg(log)),
      hashes,
      allowed: allowedOf(input, own?.shape[1] ?? 0),
      symmetric: this.symmetric,
    });
    return {
      ...contrasted,
      temperature: log === undefined ? constant(this.#temperature) : exp(log),
      anchor,
      positive,
    };
  }
}

/** `allowed` of all candidates, with `negativesAllowed` in its place among them. */
function allowedOf(
  { anchor, hardNegatives, allowed, negatives, negativesAllowed }: ContrastVectors,
  own: number,
): Tensor | undefined {
  if (negativesAllowed === undefined) return allowed;
  const n = anchor.shape[0]!;
  const count = negatives?.shape[0] ?? 0;
  if (negativesAllowed.shape.join() !== `${n},${count}`)
    throw new TypeError(
      `InfoNCELoss: negativesAllowed must be for [${n}, ${count}] anchors and negatives, got [${negativesAllowed.shape.join(", ")}].`,
    );
  const before = n + (hardNegatives?.ndim === 2 ? hardNegatives.shape[0]! : 0);
  const free = (columns: number): Tensor => full([n, columns], 1, "bool");
  const whole = cat([free(before), negativesAllowed, ...(own > 0 ? [free(own)] : [])], 1);
  return allowed === undefined ? whole : logicalAnd(allowed, whole);
}

/** Anchors and positives [n, size], hard negatives [k, size] or [n, k, size], others [m, size]. */
function requireVectors(
  what: string,
  size: number,
  given: Readonly<Record<string, Tensor | undefined>>,
): void {
  const { anchor, positive, hardNegatives } = given;
  const n = anchor?.shape[0];
  const sides = Object.values(given).filter((each) => each !== undefined);
  const fits =
    sides.every(({ shape, ndim }) => shape.at(-1) === size && (ndim === 2 || ndim === 3)) &&
    anchor?.ndim === 2 &&
    positive?.ndim === 2 &&
    positive.shape[0] === n &&
    (hardNegatives?.ndim !== 3 || hardNegatives.shape[0] === n);
  if (fits) return;
  const shapes = sides.map(({ shape }) => `[${shape.join(", ")}]`).join(", ");
  throw new TypeError(
    `InfoNCELoss: ${what} must be [n, ${size}] with equal n on both sides, and negatives [k, ${size}] or [n, k, ${size}], got ${shapes}.`,
  );
}

function requireSize(subject: string, value: number): void {
  if (Number.isInteger(value) && value > 0) return;
  throw new CraftError({ subject, value, reason: "must be a whole number from 1 on" });
}

function requireTemperature(value: number): void {
  const { min, max } = temperatureRange;
  if (value >= min && value <= max) return;
  throw new CraftError({
    subject: "craftTemperature",
    value: Number.isFinite(value) ? value : String(value),
    reason: `must lie in [${min}, ${max}]`,
  });
}
