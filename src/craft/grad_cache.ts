/** @file Contrastive batches of any size in little memory, by GradCache (Gao et al. 2021). */
import type { CausalLM } from "../models/index.js";
import type { Module } from "../nn/module.js";
import {
  cat,
  compile,
  gradients,
  HostTensor,
  withRandomKey,
  withRandomRows,
  type Compiled,
  type Materialized,
  type Parameter,
  type Tensor,
} from "../tensor/index.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import { wholeProgram } from "../training/micro_batch.js";
import type {
  ComputedTerm,
  Feeds,
  LossTerm,
  Objective,
  ProgramOptions,
  TracedFeeds,
  TrainingProgram,
} from "../training/objective.js";

/** Some rows of a micro-batch. */
export interface Chunk {
  readonly feeds: Feeds;
  /** Rows of different groups have different shapes. Groups are numbered from 0 in the order of their chunks. */
  readonly group: number;
  /** The place of the first row in the group. */
  readonly first: number;
  readonly rows: number;
}

/** What the model makes of a chunk. */
export interface Encoding {
  /** Pooled vectors [rows, h]; several where a row has several. */
  readonly pooled: readonly Tensor[];
  /** Losses of the rows by themselves. */
  readonly terms?: Readonly<Record<string, LossTerm>>;
}

/** An objective whose contrastive loss is a function of pooled vectors alone. */
export interface Encoder<Batch> extends Objective<Batch> {
  /** What {@link contrast} trains; {@link encode} must not read it. */
  readonly head: Module;
  chunks(batch: Batch, pairs: number): readonly Chunk[];
  contrastFeeds(batch: Batch): Feeds;
  encode(model: CausalLM, feeds: TracedFeeds, group: number): Encoding;
  contrast(pooled: readonly Tensor[], feeds: TracedFeeds): LossTerm;
}

// Types, not interfaces, so that their tensors are seen to come back as device tensors.
type Total = { sum: Tensor; weight: Tensor; metrics: Record<string, Tensor>; gradients: Tensor[] };
/** Of a task whose loss is computed elsewhere there are gradients alone. */
type Totals = { contrastive?: Tensor[]; others?: Record<string, Total> };
type Contrasted = {
  sum: Tensor;
  weight: Tensor;
  metrics: Record<string, Tensor>;
  observed: Record<string, Tensor>;
  /** Towards the head's parameters. */
  gradients: Tensor[];
  /** Towards the pooled vectors of each chunk. */
  cotangents: Tensor[][];
};
/** A chunk with the key of the micro-batch. Group and number of rows are part of a program's signature. */
type ChunkArguments = [feeds: TracedFeeds, first: Tensor, key: Tensor, group: number, rows: number];

/** The vectors of several chunks, those of each kind laid end to end. */
export const endToEnd = (pooled: readonly (readonly Tensor[])[]): Tensor[] =>
  pooled[0]!.map((_, kind) => cat(pooled.map((chunk) => chunk[kind]!)));

/**
 * The gradient of the whole batch, while the model holds what one chunk keeps for its backward pass:
 *
 * 1. every chunk passes through the model without gradients, and only its pooled vectors v stay;
 * 2. the loss L of all v gives its gradients towards the head and dL/dv;
 * 3. every chunk passes through the model again, and adds dL/dv dv/dw to the gradient of the model's weights w.
 *
 * Both passes draw the same dropout, and it is that of the batch in one piece: random numbers follow a row's place in
 * the batch. A batch that is one chunk takes the one program that gives the same without a second pass.
 */
export class GradCache<Batch> implements TrainingProgram<Batch> {
  readonly #encoder: Encoder<Batch>;
  readonly #pairs: number;
  readonly #parameters: readonly Parameter[];
  readonly #ofHead: ReadonlySet<Parameter>;
  readonly #whole: TrainingProgram<Batch>;
  readonly #encode: Compiled<ChunkArguments, Tensor[]>;
  readonly #contrast: Compiled<[Tensor[][], TracedFeeds, Tensor], Contrasted>;
  readonly #add: Compiled<[Totals, Tensor[], ...ChunkArguments], Totals>;

  /** @param pairs in a chunk */
  constructor(encoder: Encoder<Batch>, pairs: number, options: ProgramOptions) {
    const { model, parameters, gradientCheckpointing } = options;
    this.#encoder = encoder;
    this.#pairs = pairs;
    this.#parameters = parameters;
    this.#ofHead = new Set(encoder.head.parameters());
    this.#whole = wholeProgram(encoder, options);
    const encode = (...[feeds, first, key, group, rows]: ChunkArguments): Encoding =>
      withRandomKey(key, () =>
        withRandomRows({ first, count: rows }, () => encoder.encode(model, feeds, group)),
      );
    const ofModel = parameters.filter((parameter) => !this.#ofHead.has(parameter));
    const ofHead = parameters.filter((parameter) => this.#ofHead.has(parameter));
    const cacheSize = 64;
    this.#encode = compile((...chunk: ChunkArguments) => [...encode(...chunk).pooled], { cacheSize });
    this.#contrast = compile(
      (pooled: Tensor[][], feeds: TracedFeeds, key: Tensor): Contrasted => {
        const term = withRandomKey(key, () => encoder.contrast(endToEnd(pooled), feeds));
        const { sum, weight, metrics = {}, observed = {} } = term;
        const found = gradients(sum, [...ofHead, ...pooled.flat()]);
        const towardsHead = found.splice(0, ofHead.length);
        return {
          ...{ sum, weight, metrics: { ...metrics }, observed: { ...observed } },
          gradients: towardsHead,
          cotangents: pooled.map((chunk) => found.splice(0, chunk.length)),
        };
      },
      { cacheSize },
    );
    this.#add = compile(
      (totals: Totals, cotangents: Tensor[], ...chunk: ChunkArguments): Totals => {
        const { pooled, terms = {} } = encode(...chunk);
        const contrastive = gradients(cat(pooled), ofModel, cat(cotangents));
        return {
          contrastive: added(totals.contrastive, contrastive),
          others: Object.fromEntries(
            Object.entries(terms).map(([task, term]) => [
              task,
              addedTerm(totals.others?.[task], term, ofModel),
            ]),
          ),
        };
      },
      { cacheSize, donate: [0], rematerialize: gradientCheckpointing ? "layers" : "none" },
    );
  }

  async run(batch: Batch, key: HostTensor): Promise<Readonly<Record<string, ComputedTerm>>> {
    const chunks = this.#encoder.chunks(batch, this.#pairs);
    if (chunks.length === 1) return this.#whole.run(batch, key);
    const passing: DeviceTensor[] = [];
    const kept: DeviceTensor[] = [];
    const first = (chunk: Chunk): HostTensor => new HostTensor([chunk.first], [], "int32");
    try {
      const pooled: DeviceTensor[][] = [];
      for (const chunk of chunks) {
        const { feeds, group, rows } = chunk;
        const vectors = await this.#encode(feeds, first(chunk), key, group, rows);
        passing.push(...vectors);
        pooled.push(vectors);
      }
      const feeds = this.#encoder.contrastFeeds(batch);
      const { cotangents, gradients: towardsHead, ...term } = await this.#contrast(pooled, feeds, key);
      passing.push(...cotangents.flat());
      kept.push(...towardsHead, term.sum, term.weight);
      kept.push(...Object.values(term.metrics), ...Object.values(term.observed));
      let totals: Materialized<Totals> = {};
      for (const [i, chunk] of chunks.entries()) {
        const { feeds: own, group, rows } = chunk;
        totals = await this.#add(totals, cotangents[i]!, own, first(chunk), key, group, rows);
      }
      const others = Object.entries(totals.others ?? {}).map(([task, total]) => [
        task,
        { ...total, observed: {}, gradients: this.#inOrder(total.gradients) },
      ]);
      const ofModel = totals.contrastive ?? [];
      return {
        ...(Object.fromEntries(others) as Record<string, ComputedTerm>),
        contrastive: { ...term, gradients: this.#inOrder(ofModel, towardsHead) },
      };
    } catch (error) {
      for (const tensor of kept) tensor.dispose();
      throw error;
    } finally {
      for (const tensor of passing) tensor.dispose();
    }
  }

  /** Gradients in the order of the parameters; those towards the head are zeros unless given. */
  #inOrder(ofModel: readonly DeviceTensor[], ofHead?: readonly DeviceTensor[]): DeviceTensor[] {
    const [model, head] = [[...ofModel], ofHead && [...ofHead]];
    return this.#parameters.map((parameter) => {
      if (!this.#ofHead.has(parameter)) return model.shift()!;
      const { shape, dtype, value } = parameter;
      return head?.shift() ?? DeviceTensor.full(shape, 0, dtype, value.device);
    });
  }

  dispose(): void {
    for (const program of [this.#whole, this.#encode, this.#contrast, this.#add]) program.dispose();
  }
}

const added = (total: readonly Tensor[] | undefined, more: readonly Tensor[]): Tensor[] =>
  more.map((tensor, i) => total?.[i]?.add(tensor) ?? tensor);

function addedTerm(
  total: Total | undefined,
  { sum, weight, metrics = {} }: LossTerm,
  targets: readonly Parameter[],
): Total {
  return {
    sum: total?.sum.add(sum) ?? sum,
    weight: total?.weight.add(weight) ?? weight,
    metrics: Object.fromEntries(
      Object.entries(metrics).map(([name, value]) => [name, total?.metrics[name]?.add(value) ?? value]),
    ),
    gradients: added(total?.gradients, gradients(sum, targets)),
  };
}
