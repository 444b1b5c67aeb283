/** @file Windows made of the batches of two loaders of the user's own. */
import type { LanguageModelingBatch } from "../../data/collator.js";
import { LoaderPlace, type Loader, type LoaderState } from "../../data/loader.js";
import { refuseUnknown } from "../../data/options.js";
import type { MicroBatch, WindowLoader } from "../../data/windows.js";
import { CraftError } from "../../errors.js";
import type { PairBatch, SelfAlignBatch } from "./collator.js";
import type { CraftMicroBatch } from "./mixed_loader.js";
import {
  mixingSchedule,
  shownTask,
  type BetaMode,
  type LengthStrategy,
  type MixingSchedule,
} from "./schedule.js";

/** A micro-batch of the base objective, by its name, or one of {@link CraftMicroBatch}'s contrastive ones. */
export type CraftPairMicroBatch<SftBatch> = MicroBatch<string, SftBatch | PairBatch | SelfAlignBatch>;

export interface CRAFTLoaderPairOptions<SftBatch> {
  /** Batches of the base objective. */
  readonly sft: Loader<SftBatch>;
  /** The name of the base objective. Default "sft". */
  readonly objective?: string;
  /** Batches of pairs, or of rows that are their own pairs. */
  readonly contrastive: Loader<PairBatch | SelfAlignBatch>;
  readonly gradientAccumulationSteps: number;
  /** Default 0.6. */
  readonly beta?: number;
  /** Default "fixed". */
  readonly betaMode?: BetaMode;
  /** Default "oversample". */
  readonly lengthStrategy?: LengthStrategy;
  /** Told once, at the start, of settings that act otherwise than they read and of data that is left out. */
  readonly onNotice?: (notice: string) => void;
}

/**
 * Mixes two loaders into windows as {@link CRAFTMixedDataLoader} mixes two datasets. Both must have a length, and give
 * from a state that they are restored to what they would have given there: then a window is a function of its epoch and
 * its index here too, and a run can be resumed at any of them.
 */
export class CRAFTLoaderPair<SftBatch = LanguageModelingBatch> implements WindowLoader<
  CraftPairMicroBatch<SftBatch>
> {
  readonly stepsPerEpoch: number;
  readonly length: number;
  readonly beta: number;
  readonly notices: readonly string[];
  readonly #schedule: MixingSchedule;
  readonly #place: LoaderPlace;
  readonly #objective: string;
  readonly #sft: Cursor<SftBatch>;
  readonly #contrastive: Cursor<PairBatch | SelfAlignBatch>;

  /** @throws {@link CraftError} for a loader without a length, and as {@link mixingSchedule} does. */
  constructor(options: CRAFTLoaderPairOptions<SftBatch>) {
    refuseUnknown("CRAFTLoaderPair", options, optionNames);
    const { beta = 0.6, betaMode = "fixed", lengthStrategy = "oversample", onNotice } = options;
    const { objective = "sft" } = options;
    this.#objective = objective;
    this.#sft = new Cursor(options.sft, `${shownTask(objective)} loader`);
    this.#contrastive = new Cursor(options.contrastive, "contrastive loader");
    this.#schedule = mixingSchedule({
      sftBatches: this.#sft.length,
      contrastiveBatches: this.#contrastive.length,
      gradientAccumulationSteps: options.gradientAccumulationSteps,
      beta,
      betaMode,
      lengthStrategy,
      base: shownTask(objective),
    });
    const { windows, epoch, notices } = this.#schedule;
    this.stepsPerEpoch = windows;
    this.length = epoch.sft + epoch.contrastive;
    this.beta = this.#schedule.beta;
    this.notices = notices;
    this.#place = new LoaderPlace(windows);
    for (const notice of notices) onNotice?.(notice);
  }

  /** The next window: `position` counts windows. */
  state(): LoaderState {
    return this.#place.state();
  }

  restore(state: LoaderState): void {
    this.#place.restore(state);
  }

  /** The windows that are left of the current epoch. */
  async *[Symbol.asyncIterator](): AsyncGenerator<readonly CraftPairMicroBatch<SftBatch>[]> {
    const { before, epoch: each, restarts } = this.#schedule;
    for (const { epoch, position } of this.#place.restOfEpoch()) {
      const [from, to] = [before(position), before(position + 1)];
      const window: CraftPairMicroBatch<SftBatch>[] = [];
      for (let i = from.sft; i < to.sft; i++)
        window.push({ objective: this.#objective, batch: await this.#sft.batch(epoch, i) });
      for (let i = from.contrastive; i < to.contrastive; i++) {
        const size = this.#contrastive.length;
        const place = (restarts ? epoch * size : epoch * each.contrastive) + i;
        window.push(tagged(await this.#contrastive.batch(Math.floor(place / size), place % size)));
      }
      yield window;
    }
  }
}

const optionNames = [
  "sft",
  "objective",
  "contrastive",
  "gradientAccumulationSteps",
  "beta",
  "betaMode",
  "lengthStrategy",
  "onNotice",
] as const satisfies readonly (keyof CRAFTLoaderPairOptions<unknown>)[];

/** Reads the batches of a loader in order, and goes to another place where it is asked for one. */
class Cursor<Batch> {
  readonly length: number;
  readonly #loader: Loader<Batch>;
  readonly #name: string;
  #iterator: AsyncIterator<Batch> | undefined;
  #next: LoaderState = { epoch: -1, position: 0 };

  constructor(loader: Loader<Batch>, name: string) {
    const { length } = loader;
    if (length === undefined || !Number.isSafeInteger(length) || length < 1)
      throw new CraftError({
        subject: name,
        value: length ?? "without a length",
        reason:
          "must say in `length` how many batches an epoch has, 1 or more, so that both kinds can be mixed",
      });
    this.length = length;
    this.#loader = loader;
    this.#name = name;
  }

  async batch(epoch: number, position: number): Promise<Batch> {
    if (this.#iterator === undefined || this.#next.epoch !== epoch || this.#next.position !== position) {
      this.#loader.restore({ epoch, position });
      this.#iterator = this.#loader[Symbol.asyncIterator]();
    }
    const result = await this.#iterator.next();
    if (result.done === true)
      throw new CraftError({
        subject: this.#name,
        reason: `ended its epoch after ${position} batches, and its length is ${this.length}`,
      });
    this.#next = { epoch, position: position + 1 };
    return result.value;
  }
}

/** @throws {@link CraftError} for a batch that holds no pairs. */
function tagged(batch: PairBatch | SelfAlignBatch): CraftMicroBatch<never> {
  const keys = new Set(typeof batch === "object" ? Object.keys(batch) : []);
  const needed = ["anchorHash", "positiveHash"];
  if (needed.every((key) => keys.has(key))) {
    if ("promptMask" in batch) return { objective: "self_align", batch };
    if ("anchor" in batch && "positive" in batch && batch.anchor.shape[0] === batch.positive.shape[0])
      return { objective: "contrastive", batch };
  }
  throw new CraftError({
    subject: "contrastive loader",
    reason: `gave a batch that holds no pairs: it has ${[...keys].join(", ") || "nothing"}`,
    remedy:
      "Collate rows with CRAFTCollator's collatePairs or collateSelfAlign; packed rows cannot be contrasted",
  });
}
