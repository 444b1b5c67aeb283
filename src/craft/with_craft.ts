/** @file CRAFT over any trainer. */
import { CraftError } from "../errors.js";
import type {
  BaseTrainer,
  BaseTrainerOptions,
  ComposableTrainer,
  RunParts,
  TrainingParts,
} from "../trainers/index.js";
import { CraftComposition } from "./composition.js";
import type { CraftConfig, CraftedArguments } from "./config.js";
import type { InfoNCELoss } from "./losses/index.js";
import type { CraftDataOptions } from "./trainer_data.js";

/** What a trainer with CRAFT is given beside what it is given without. */
export interface CraftTrainerOptions<Batch> extends CraftDataOptions<Batch> {
  /** The trainer's options together with CRAFT's. */
  readonly args: CraftConfig<CraftedArguments>;
}

/** What a trainer with CRAFT has beside what it has without. */
export interface CraftTrainer {
  /** The contrastive loss with its projection head; there once training has begun. */
  readonly infoNCE: InfoNCELoss;
}

/** The class of trainers `T` with CRAFT: `O` are the options of `T`, `Batch` the micro-batches of its objective. */
export type CraftTrainerClass<O, Batch, T> = new (
  options: O & CraftTrainerOptions<Batch>,
) => T & CraftTrainer;

/**
 * A class of trainers with a contrastive objective beside their own. Each step's gradient is alpha times that of the
 * trainer's objective, over all that the step holds of it, plus (1 - alpha) times InfoNCE's, over all pairs of the step.
 * The trainer's micro-batches keep its loss; pairs come from a loader of their own, and are mixed in as beta and the
 * length strategy say. Evaluations, checkpoints, adapters and callbacks are the trainer's.
 *
 * With self-align the pairs are made of the trainer's own rows, prompt against answer. Where its objective is the token
 * loss, {@link SFTObjective}, one forward pass gives both; for others the rows pass by themselves.
 *
 * @example
 * class MyTrainer extends Trainer { override computeLoss(model, inputs) { … } }
 * const trainer = new (withCraft(MyTrainer))({
 *   model, trainDataset, contrastiveDataset, args: new CRAFTTrainingArguments({ craftAlpha: 0.7 }),
 * });
 */
export function withCraft<O extends BaseTrainerOptions, Batch, T extends BaseTrainer<Batch>>(
  Base: new (options: O) => T & BaseTrainer<Batch>,
): CraftTrainerClass<O, Batch, T> {
  // What is built on here is what every trainer has; a class cannot extend one of unknown members.
  const Composable: new (options: O) => ComposableTrainer<Batch> = Base;
  class WithCraft extends Composable implements CraftTrainer {
    readonly #craft: CraftComposition<Batch>;

    /** @throws CraftError for options and data that do not go together. */
    constructor(options: O & CraftTrainerOptions<Batch>) {
      const craft = new CraftComposition<Batch>(options);
      const { evalDataset } = options;
      super({
        ...options,
        trainDataset: craft.rowsForBase(craft.bundle.sft, "train_dataset"),
        ...(evalDataset && { evalDataset: craft.rowsForBase(evalDataset, "eval_dataset") }),
      });
      this.#craft = craft;
    }

    get infoNCE(): InfoNCELoss {
      return this.#craft.infoNCE;
    }

    override async compose(parts: TrainingParts<Batch>): Promise<RunParts> {
      return this.#craft.compose(this, parts, await super.compose(parts));
    }
  }
  Object.defineProperty(WithCraft, "name", { value: `CRAFT${Base.name}` });
  const made: new (options: O & CraftTrainerOptions<Batch>) => CraftTrainer = WithCraft;
  if (extendsClass(made, Base)) return made;
  throw new CraftError({ subject: "withCraft", value: Base.name, reason: "is no class of trainers" });
}

/** Whether what a class makes is also what `Base` makes, which TypeScript cannot see of a class that extends a parameter. */
function extendsClass<Options, I, T>(
  made: new (options: Options) => I,
  Base: abstract new (options: never) => T,
): made is new (options: Options) => I & T {
  return Object.prototype.isPrototypeOf.call(Base, made);
}
