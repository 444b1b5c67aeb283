import type { Dataset } from "../../data/dataset.js";
import type { Prepared } from "../../data/prepared.js";
import type { CausalLM } from "../../models/causal_lm.js";
import { evaluateObjective, type TrainerCallback } from "../../training/index.js";
import { BaseTrainer, type BaseTrainerOptions } from "../base_trainer.js";
import type { Evaluation, TrainingParts } from "../parts.js";
import type { Reference } from "../preference/reference.js";
import { namedRewards, type NamedReward, type Reward } from "../rewards/reward.js";
import { RolloutBuffer } from "../rollouts/buffer.js";
import { CompletionsLog } from "../rollouts/completions_log.js";
import { RolloutLoader, type RolloutLoaderOptions, type RolloutShare } from "../rollouts/loader.js";
import { RolloutMetrics } from "../rollouts/metrics.js";
import { preparePrompts, type PromptRow } from "../rollouts/prompts.js";
import { openReference } from "../rollouts/reference.js";
import { RunningState } from "../rollouts/run.js";
import type { Sampler } from "../rollouts/sampler.js";
import { openTools, type RolloutTools } from "../rollouts/tools.js";
import type { Rows } from "../rows.js";
import { generationPlan, GRPOConfig, type GRPOArguments } from "./config.js";
import { EntropyController } from "./entropy.js";
import { counts, GRPOObjective, type GRPOBatch } from "./objective.js";
import { grpoRollout, type GRPORolloutOptions } from "./rollout.js";

export interface GRPOTrainerOptions extends BaseTrainerOptions {
  readonly args?: { readonly values: GRPOArguments };
  /** Rows with a `prompt`, text or messages (or its `input_ids`), and columns that rewards read. */
  readonly trainDataset: Rows;
  /** What completions are judged by: functions, or models as {@link rewardModel} makes them. */
  readonly rewardFuncs: Reward | readonly Reward[];
  /**
   * What `beta` measures divergence from: a model or its folder. By default the model without the new adapter that is
   * trained, or with an adapter as it was at first, or, where the model is trained whole, a copy of it.
   */
  readonly refModel?: CausalLM | string | undefined;
  /** Where completions come from, in the place of the policy's own sampling. */
  readonly sampler?: Sampler | undefined;
}

/**
 * Group relative policy optimisation (Shao et al. 2024): several completions of each prompt are made and judged, and the
 * policy learns towards those that are better than the others of their group.
 *
 * @example
 * const trainer = new GRPOTrainer({
 *   model, tokenizer, trainDataset: [{ prompt: "2 + 3 =", answer: 5 }, …], rewardFuncs: numericAnswer(),
 *   args: new GRPOConfig({ numGenerations: 4, maxCompletionLength: 16 }),
 * });
 */
export class GRPOTrainer extends BaseTrainer<GRPOBatch> {
  protected override readonly args: GRPOArguments;
  readonly #data: GRPOTrainerOptions;
  readonly #rewards: readonly NamedReward[];
  readonly #state = new RunningState();
  #reference: Promise<Reference> | undefined;

  /** @throws CraftError for rewards without a name of their own, and weights that are not one for each. */
  constructor(options: GRPOTrainerOptions) {
    super(options);
    this.args = (options.args ?? new GRPOConfig()).values;
    this.#data = options;
    this.#rewards = namedRewards(options.rewardFuncs, this.args.rewardWeights);
  }

  protected override async callbacks(): Promise<TrainerCallback[]> {
    return [this.#state, ...(await super.callbacks())];
  }

  protected async prepare(): Promise<TrainingParts<GRPOBatch>> {
    const { args } = this;
    const { trainDataset, evalDataset } = this.#data;
    const plan = generationPlan(args);
    const train = await this.#prompts(trainDataset, "train_dataset");
    const held = evalDataset === undefined ? undefined : await this.#prompts(evalDataset, "eval_dataset");
    const tools = await this.#tools(plan.prompts * args.numGenerations);
    const [buffer, metrics, entropy] = [new RolloutBuffer(), new RolloutMetrics(), this.#entropy()];
    const batches = this.#loader(train.dataset, tools, {
      ...plan,
      copies: args.numGenerations,
      iterations: args.numIterations,
      shuffle: args.shuffleDataset,
      stream: "rollout",
      log: this.#completionsLog(),
      buffer,
      metrics,
    });
    return {
      objective: this.#objective(entropy, buffer),
      batches,
      evaluations: held === undefined ? [] : [this.#evaluation(held.dataset, tools)],
      describe: (totals) => ({
        num_tokens: this.#state.trainerState?.numInputTokensSeen,
        ...totals.metrics(),
        ...metrics.take(),
        ...(entropy && { entropy_coef: entropy.coef }),
      }),
      afterStep: () => entropy?.advance(),
      carried: { rollout: buffer, rollout_metrics: metrics, ...(entropy && { entropy }) },
      dispose: () => tools.dispose(),
    };
  }

  #prompts(rows: Rows, name: string): Promise<Prepared<PromptRow>> {
    const { maxPromptLength, maxCompletionLength, chatTemplateKwargs } = this.args;
    return preparePrompts(rows, name, {
      tokenizer: this.options.tokenizer,
      shape: this.model.shape,
      maxPromptLength,
      maxCompletionLength: { option: "max_completion_length", value: maxCompletionLength },
      chatTemplateKwargs,
      notice: (text) => this.notice(text),
    });
  }

  async #tools(rows: number): Promise<RolloutTools> {
    const { args, model } = this;
    return openTools({
      args,
      model,
      tokenizer: this.options.tokenizer,
      padTokenId: this.padTokenId(),
      rewards: this.#rewards,
      sampler: this.#data.sampler,
      reference: args.beta > 0 ? await this.#referenceOnce() : undefined,
      rows,
      state: this.#state,
      notice: (text) => this.notice(text),
    });
  }

  #referenceOnce(): Promise<Reference> {
    const { model, lora } = this;
    const newAdapter = this.options.peftConfig !== undefined;
    this.#reference ??= openReference({ model, lora, newAdapter, refModel: this.#data.refModel });
    return this.#reference;
  }

  #loader(
    dataset: Dataset<PromptRow>,
    tools: RolloutTools,
    options: Pick<
      RolloutLoaderOptions<GRPOBatch>,
      "prompts" | "microBatches" | "iterations" | "shuffle" | "dropLast" | "buffer"
    > &
      Pick<GRPORolloutOptions, "stream" | "log"> & {
        readonly copies: number;
        readonly metrics: RolloutMetrics;
      },
  ): RolloutLoader<GRPOBatch> {
    const { args } = this;
    const { stream, log, copies, metrics, ...loading } = options;
    const making: GRPORolloutOptions = {
      ...tools,
      advantages: {
        groupSize: copies,
        weights: args.rewardWeights ?? this.#rewards.map(() => 1),
        scaleRewards: args.scaleRewards,
        aggregation: args.multiObjectiveAggregation,
      },
      maskTruncated: args.maskTruncatedCompletions,
      recompute: args.recomputeLogProbs,
      seed: args.seed,
      stream,
      log,
    };
    const step = (): number => this.#state.step;
    return new RolloutLoader<GRPOBatch>({
      ...loading,
      dataset,
      reshuffle: false,
      seed: args.seed,
      step,
      make: async (batch, number) => {
        const made = await this.#state.guarded(() => grpoRollout(batch, { number, step: step() }, making));
        metrics.add(number, made.metrics);
        return made.rows;
      },
      collate: (share) => batchOf(share, loading.microBatches),
    });
  }

  #objective(entropy: EntropyController | undefined, buffer?: RolloutBuffer): GRPOObjective {
    const { args } = this;
    return new GRPOObjective({
      loss: args,
      temperature: args.temperature,
      topEntropyQuantile: args.topEntropyQuantile,
      entropy,
      padTokenId: this.padTokenId(),
      padToMultipleOf: args.padToMultipleOf,
      buffer,
    });
  }

  #entropy(): EntropyController | undefined {
    const { entropyCoef: coef, useAdaptiveEntropy, entropyCoefMin: min, entropyCoefMax: max } = this.args;
    if (coef === 0 && !useAdaptiveEntropy) return undefined;
    const { entropyCoefDelta: delta, entropyTarget: target } = this.args;
    return new EntropyController({
      coef,
      adaptive: useAdaptiveEntropy ? { min, max, delta, target } : undefined,
    });
  }

  #completionsLog(): CompletionsLog | undefined {
    const { logCompletions, outputDir, numCompletionsToPrint, logUniquePrompts } = this.args;
    if (!logCompletions) return undefined;
    return new CompletionsLog({
      outputDir,
      shown: numCompletionsToPrint,
      uniquePrompts: logUniquePrompts,
      notice: (text) => this.notice(text),
    });
  }

  /** Completions of the evaluation prompts, the same draws each time. */
  #evaluation(dataset: Dataset<PromptRow>, tools: RolloutTools): Evaluation {
    const { args } = this;
    const copies = args.numGenerationsEval ?? args.numGenerations;
    const objective = this.#objective(undefined);
    return async (model, onPrediction) => {
      const metrics = new RolloutMetrics();
      const loader = this.#loader(dataset, tools, {
        prompts: Math.max(1, Math.floor(args.perDeviceEvalBatchSize / copies)),
        copies,
        microBatches: 1,
        iterations: 1,
        shuffle: false,
        dropLast: false,
        stream: "evaluation",
        log: undefined,
        buffer: new RolloutBuffer(),
        metrics,
      });
      const entry = await evaluateObjective(model, objective, loader, objective.name, onPrediction);
      const more = Object.entries(metrics.take()).map(([name, value]) => [`eval_${name}`, value] as const);
      return { ...entry, ...Object.fromEntries(more) };
    };
  }
}

/** Micro-batches share evenly what the rollout's tokens count for. */
function batchOf(share: RolloutShare, microBatches: number): GRPOBatch {
  const tokens = share.rollout.rows.filter(counts).reduce((total, { ids }) => total + ids.length, 0);
  return { ...share, items: Math.max(1, tokens) / microBatches };
}
