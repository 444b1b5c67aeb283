/** @file What a run leaves in a folder: the result, or a checkpoint from which it goes on exactly. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/index.js";
import { Embedding } from "../nn/embedding.js";
import type { Module } from "../nn/module.js";
import type { AdamW } from "../optim/index.js";
import type { LoraModel } from "../peft/lora.js";
import { parameterCounts } from "../quantization/index.js";
import type { Parameter } from "../tensor/index.js";
import type { AllCarried } from "../training/carried.js";
import {
  readCarried,
  readMoments,
  readParameters,
  writeCarried,
  writeFolderAtomically,
  writeMoments,
  writeParameters,
} from "../training/checkpoint.js";
import type { LoopState, TrainerState } from "../training/index.js";
import { requireSameSettings } from "../training/run_settings.js";
import {
  readRunState,
  trainingFlops,
  writeRunState,
  writeTrainerState,
  type RunSettings,
} from "../training/run_state.js";

type Named = readonly (readonly [string, Parameter])[];

export interface SavedRunOptions {
  readonly model: CausalLM;
  readonly lora: LoraModel | undefined;
  /** What is trained beside the model, by the file that it is saved in. */
  readonly beside: ReadonlyMap<string, Named>;
  readonly carried: AllCarried;
  /** Writes the model or its adapter, with the tokenizer. */
  readonly saveModel: (folder: string) => Promise<void>;
}

const adapterFile = "adapter_model.safetensors";

/** What is trained of modules, by file. */
export function trainedBeside(
  modules: Readonly<Record<string, Readonly<Record<string, Module>>>>,
): Map<string, Named> {
  const files = Object.entries(modules).map(([file, named]): [string, Named] => [
    file,
    Object.entries(named).flatMap(([name, module]) =>
      [...module.namedParameters(name)].filter(([, parameter]) => parameter.trainable),
    ),
  ]);
  return new Map(files.filter(([, named]) => named.length > 0));
}

/** Writes and reads the folders of one run. */
export class SavedRun {
  readonly #options: SavedRunOptions;

  constructor(options: SavedRunOptions) {
    this.#options = options;
  }

  /** Everything that is trained, by the names under which it is saved. */
  get named(): Named {
    const { model, lora, beside } = this.#options;
    const own = lora === undefined ? [...model.namedParameters()] : [...lora.namedParameters()];
    const named = [...own.filter(([, parameter]) => parameter.trainable), ...[...beside.values()].flat()];
    const known = new Set<string>();
    for (const [name] of named) {
      if (known.has(name))
        throw new CraftError({
          subject: "modules",
          value: name,
          reason: "is the name of two parameters that are trained",
          remedy: "Give the module another name.",
        });
      known.add(name);
    }
    return named;
  }

  /** Writes the result. */
  async writeResult(folder: string): Promise<void> {
    const { beside, saveModel } = this.#options;
    await saveModel(folder);
    for (const [file, named] of beside) writeParameters(join(folder, file), named);
  }

  /** Writes a checkpoint, which gets its name when it is whole. Without `resume` it is a result with the log. */
  async writeCheckpoint(
    path: string,
    state: { readonly loop: LoopState; readonly trainer: TrainerState },
    resume: { readonly optimizer: AdamW; readonly settings: RunSettings } | undefined,
  ): Promise<void> {
    const { loop, trainer } = state;
    await writeFolderAtomically(path, async (folder) => {
      await this.writeResult(folder);
      writeTrainerState(folder, trainer, {
        callbacks: loop.callbacks,
        totalFlos: trainingFlops(loop.tokens, this.#weights()),
      });
      if (resume === undefined) return;
      const { optimizer, settings } = resume;
      writeMoments(folder, optimizer, this.named);
      const carried = writeCarried(folder, this.#options.carried);
      writeRunState(folder, { loop, optimizerSteps: optimizer.steps, settings, carried });
    });
  }

  /** Weights outside embedding tables. */
  #weights(): number {
    const { model } = this.#options;
    const tables = new Set<Parameter>();
    for (const [, module] of model.namedModules()) if (module instanceof Embedding) tables.add(module.weight);
    let weights = 0;
    for (const [parameter, count] of parameterCounts(model)) if (!tables.has(parameter)) weights += count;
    return weights;
  }

  /**
   * Takes up weights, moments and all that is carried; the rest is returned for the loop. `notice` is told of a
   * schedule of another length.
   *
   * @throws CraftError before anything is changed if the checkpoint is of a run with other settings.
   */
  read(
    checkpoint: string,
    { settings, optimizer }: { readonly settings: RunSettings; readonly optimizer: AdamW },
    notice: (message: string) => void,
  ): LoopState {
    const state = readRunState(checkpoint);
    requireSameSettings(checkpoint, state.settings, settings, notice);
    this.readWeights(checkpoint);
    readMoments(checkpoint, optimizer, state.optimizerSteps, this.named);
    readCarried(checkpoint, this.#options.carried, state.carried);
    return state.loop;
  }

  /** Gives everything that is trained the values that it has in a checkpoint. */
  readWeights(checkpoint: string): void {
    const { model, lora, beside } = this.#options;
    if (!existsSync(checkpoint)) {
      throw new CraftError({
        subject: "checkpoint",
        value: checkpoint,
        reason: "is the best one of the run, and is gone",
        remedy: "Keep checkpoints of a run until it is over.",
      });
    }
    // Where the trainer saves such a module together with the model, it is read from its own file all the same.
    const known = [...beside.values()].flat().flatMap(([name]) => [name, `base_model.model.${name}`]);
    const others = new Set(known);
    if (lora === undefined) readParameters(checkpoint, [...model.namedParameters()], "all", others);
    else readParameters(join(checkpoint, adapterFile), [...lora.savedParameters()], "all", others);
    for (const [file, named] of beside) readParameters(join(checkpoint, file), named, "all");
  }
}
