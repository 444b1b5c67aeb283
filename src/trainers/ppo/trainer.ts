import type { Dataset } from "../../data/dataset.js";
import type { Prepared } from "../../data/prepared.js";
import type { CausalLM } from "../../models/causal_lm.js";
import type { TrainerCallback } from "../../training/index.js";
import { BaseTrainer, type BaseTrainerOptions } from "../base_trainer.js";
import type { Evaluation, TrainingParts } from "../parts.js";
import type { Reference } from "../preference/reference.js";
import { namedRewards, type NamedReward, type Reward } from "../rewards/reward.js";
import { RolloutBuffer } from "../rollouts/buffer.js";
import { CompletionsLog } from "../rollouts/completions_log.js";
import { RolloutLoader, type RolloutShare } from "../rollouts/loader.js";
import { RolloutMetrics } from "../rollouts/metrics.js";
import { preparePrompts, type PromptRow } from "../rollouts/prompts.js";
import { openReference } from "../rollouts/reference.js";
import { RunningState } from "../rollouts/run.js";
import type { Sampler } from "../rollouts/sampler.js";
import { openTools, type RolloutTools } from "../rollouts/tools.js";
import type { Rows } from "../rows.js";
import { PPOConfig, rolloutSize, type PPOArguments } from "./config.js";
import { KlController } from "./kl_controller.js";
import { PPOObjective, ValueScorer } from "./objective.js";
import { ppoRollout, type PPORolloutOptions } from "./rollout.js";
import { ValueHead } from "./value_head.js";

export interface PPOTrainerOptions extends BaseTrainerOptions {
  readonly args?: { readonly values: PPOArguments };
  /** Rows with a `prompt`, text or messages (or its `input_ids`), and columns that rewards read. */
  readonly trainDataset: Rows;
  /** What completions are judged by: functions, or models as {@link rewardModel} makes them. */
  readonly rewardFuncs: Reward | readonly Reward[];
  /**
   * What `klCoef` measures divergence from: a model or its folder. By default the model without the new adapter that is
   * trained, or with an adapter as it was at first, or, where the model is trained whole, a copy of it.
   */
  readonly refModel?: CausalLM | string | undefined;
  /** Where completions come from, in the place of the policy's own sampling. */
  readonly sampler?: Sampler | undefined;
}

/**
 * Proximal policy optimisation (Schulman et al. 2017; Ouyang et al. 2022): completions of prompts are made and judged, and
 * policy and values learn from them in several passes. The values are a {@link ValueHead} on the policy.
 *
 * @example
 * const trainer = new PPOTrainer({
 *   model, tokenizer, trainDataset: [{ prompt: "Once upon a time" }, …], rewardFuncs: rewardModel(classifier),
 *   args: new PPOConfig({ perDeviceTrainBatchSize: 8, numMiniBatches: 4, responseLength: 64 }),
 * });
 */
export class PPOTrainer extends BaseTrainer<RolloutShare> {
  protected override readonly args: PPOArguments;
  readonly #data: PPOTrainerOptions;
  readonly #rewards: readonly NamedReward[];
  readonly #state = new RunningState();
  #reference: Promise<Reference> | undefined;
  #values: ValueHead | undefined;

  /** @throws CraftError for rewards without a name of their own, and weights that are not one for each. */
  constructor(options: PPOTrainerOptions) {
    super(options);
    this.args = (options.args ?? new PPOConfig()).values;
    this.#data = options;
    this.#rewards = namedRewards(options.rewardFuncs, this.args.rewardWeights);
  }

  /** What the policy expects to be rewarded with; there once training has begun. */
  get valueHead(): ValueHead | undefined {
    return this.#values;
  }

  protected override async callbacks(): Promise<TrainerCallback[]> {
    return [this.#state, ...(await super.callbacks())];
  }

  protected async prepare(): Promise<TrainingParts<RolloutShare>> {
    const { args, model } = this;
    const { trainDataset, evalDataset } = this.#data;
    const { rows, microBatches } = rolloutSize(args);
    const train = await this.#prompts(trainDataset, "train_dataset");
    const held = evalDataset === undefined ? undefined : await this.#prompts(evalDataset, "eval_dataset");
    const values = (this.#values ??= new ValueHead(model.shape.hiddenSize, model.headWeight().value.device));
    const tools = await this.#tools(rows);
    const padding = { padTokenId: this.padTokenId(), padToMultipleOf: args.padToMultipleOf };
    const scorer = new ValueScorer(model, values, { ...padding, batchSize: args.perDeviceTrainBatchSize });
    const kl = new KlController({
      initial: args.klCoef,
      target: args.adapKlCtrl ? args.target : undefined,
      horizon: args.horizon,
    });
    const [buffer, metrics] = [new RolloutBuffer(), new RolloutMetrics()];
    const making = this.#rolloutOptions(tools, scorer, kl);
    return {
      objective: new PPOObjective({ ...padding, loss: args, temperature: args.temperature, values }),
      batches: this.#loader(train.dataset, { rows, microBatches }, buffer, async (batch, number) => {
        const { step } = this.#state;
        const made = await this.#state.guarded(() => ppoRollout(batch, { number, step }, making));
        metrics.add(number, { ...made.metrics, episode: (number + 1) * rows });
        return made.rows;
      }),
      modules: { value_head: values },
      evaluations:
        held === undefined
          ? []
          : [this.#evaluation(held.dataset, { ...making, stream: "evaluation", log: undefined })],
      describe: (totals) => ({
        num_tokens: this.#state.trainerState?.numInputTokensSeen,
        ...totals.metrics(),
        ...metrics.take(),
      }),
      carried: { rollout: buffer, rollout_metrics: metrics, kl_controller: kl },
      dispose: () => {
        scorer.dispose();
        tools.dispose();
      },
    };
  }

  #prompts(rows: Rows, name: string): Promise<Prepared<PromptRow>> {
    const { maxPromptLength, responseLength, chatTemplateKwargs } = this.args;
    return preparePrompts(rows, name, {
      tokenizer: this.options.tokenizer,
      shape: this.model.shape,
      maxPromptLength,
      maxCompletionLength: { option: "response_length", value: responseLength },
      chatTemplateKwargs,
      notice: (text) => this.notice(text),
    });
  }

  async #tools(rows: number): Promise<RolloutTools> {
    const { args, model } = this;
    const { stopTokenId } = args;
    return openTools({
      args: { ...args, maxCompletionLength: args.responseLength },
      model,
      tokenizer: this.options.tokenizer,
      padTokenId: this.padTokenId(),
      rewards: this.#rewards,
      sampler: this.#data.sampler,
      reference: args.klCoef > 0 ? await this.#referenceOnce() : undefined,
      rows,
      ...(stopTokenId !== undefined && { eosTokenIds: [stopTokenId] }),
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

  #rolloutOptions(tools: RolloutTools, values: ValueScorer, kl: KlController): PPORolloutOptions {
    const { args } = this;
    const { logCompletions, outputDir, numCompletionsToPrint, logUniquePrompts } = args;
    return {
      ...tools,
      ...args,
      values,
      kl,
      weights: args.rewardWeights ?? this.#rewards.map(() => 1),
      missingEosPenalty: args.missingEosPenalty ?? 0,
      recompute: args.recomputeLogProbs,
      stream: "rollout",
      log: logCompletions
        ? new CompletionsLog({
            outputDir,
            shown: numCompletionsToPrint,
            uniquePrompts: logUniquePrompts,
            notice: (text) => this.notice(text),
          })
        : undefined,
    };
  }

  #loader(
    dataset: Dataset<PromptRow>,
    { rows, microBatches }: { readonly rows: number; readonly microBatches: number },
    buffer: RolloutBuffer,
    make: ConstructorParameters<typeof RolloutLoader<RolloutShare>>[0]["make"],
  ): RolloutLoader<RolloutShare> {
    const { numPpoEpochs, shuffleDataset, seed } = this.args;
    return new RolloutLoader<RolloutShare>({
      dataset,
      prompts: rows,
      microBatches,
      iterations: numPpoEpochs,
      reshuffle: true,
      shuffle: shuffleDataset,
      seed,
      buffer,
      step: () => this.#state.step,
      make,
      collate: (share) => share,
    });
  }

  /** What completions of the evaluation prompts earn, the same draws each time. */
  #evaluation(dataset: Dataset<PromptRow>, options: PPORolloutOptions): Evaluation {
    const { perDeviceEvalBatchSize: size } = this.args;
    return async (_model, onPrediction) => {
      const metrics = new RolloutMetrics();
      const began = performance.now();
      // What is measured does not steer.
      const kl = new KlController({ initial: options.kl.value, target: undefined, horizon: 1 });
      const batches = Math.ceil(dataset.length / size);
      for (let i = 0; i < batches; i++) {
        const places = Array.from({ length: dataset.length }, (_, at) => at).slice(i * size, (i + 1) * size);
        const batch = {
          prompts: await dataset.rows(places),
          where: places.map((at) => dataset.where(at)),
        };
        const place = { number: i, step: this.#state.step };
        const made = await this.#state.guarded(() => ppoRollout(batch, place, { ...options, kl }));
        metrics.gather(made.metrics);
        await onPrediction?.({ batch: i + 1, batches });
      }
      const entries = Object.entries(metrics.take()).map(([name, value]) => [`eval_${name}`, value] as const);
      return { ...Object.fromEntries(entries), eval_runtime: (performance.now() - began) / 1000 };
    };
  }
}
