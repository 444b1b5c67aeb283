/** @file The options of LoRA, with the names and defaults of PEFT's LoraConfig. */
import { refuseUnknown } from "../data/options.js";
import { CraftError } from "../errors.js";

/** What the biases of the base model do: stay frozen, all learn, or those of the adapted layers do. */
export const biasModes = ["none", "all", "lora_only"] as const;

export interface LoraConfig {
  /** Rank: inner size of the two factors. Default 8. */
  readonly r: number;
  /** The update is scaled by loraAlpha / r, with `useRslora` by loraAlpha / sqrt(r). Default 8. */
  readonly loraAlpha: number;
  /** Dropout of the adapter's input in training, in [0, 1). Default 0. */
  readonly loraDropout: number;
  /**
   * Layers that get an adapter: names, each a whole path or its end after a dot; or a regular expression for whole
   * paths; or `"all-linear"`, all linear layers but the head. By default what PEFT takes for the model's type.
   */
  readonly targetModules: readonly string[] | string | undefined;
  /** Layers that get none all the same: names or a regular expression, as above. */
  readonly excludeModules: readonly string[] | string | undefined;
  /** Numbers of the only blocks that are adapted; with a list in `targetModules` only. */
  readonly layersToTransform: readonly number[] | number | undefined;
  /** What the list of blocks is called in paths, such as `layers`; by default whatever stands before a number. */
  readonly layersPattern: readonly string[] | string | undefined;
  /** Ranks of single layers, by regular expressions for the end of a path; the first that matches counts. */
  readonly rankPattern: Readonly<Record<string, number>>;
  /** Alphas of single layers, in the same way. */
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Scale by loraAlpha / sqrt(r) (Kalajdzievski 2023). Default false. */
  readonly useRslora: boolean;
  /** Learn magnitude and direction of weights apart (DoRA, Liu et al. 2024). Default false. */
  readonly useDora: boolean;
  readonly bias: (typeof biasModes)[number];
  /** Ends of the paths of modules that are trained whole, in a copy of their own, and saved with the adapter. */
  readonly modulesToSave: readonly string[] | undefined;
  /**
   * Initial values: true (A uniform, B zero), false (both random), `gaussian`, `orthogonal`, `olora`, `pissa`, or
   * `pissa_niter_N`.
   */
  readonly initLoraWeights: boolean | string;
}

/** Options of a new adapter; what is left out or undefined has its default. */
export type LoraOptions = { readonly [K in keyof LoraConfig]?: LoraConfig[K] | undefined };

export const defaultLoraConfig: LoraConfig = {
  r: 8,
  loraAlpha: 8,
  loraDropout: 0,
  targetModules: undefined,
  excludeModules: undefined,
  layersToTransform: undefined,
  layersPattern: undefined,
  rankPattern: {},
  alphaPattern: {},
  useRslora: false,
  useDora: false,
  bias: "none",
  modulesToSave: undefined,
  initLoraWeights: true,
};

/** The name of an option in run files and messages. */
const optionNames: Readonly<Record<keyof LoraConfig, string>> = {
  r: "lora_r",
  loraAlpha: "lora_alpha",
  loraDropout: "lora_dropout",
  targetModules: "lora_target_modules",
  excludeModules: "exclude_modules",
  layersToTransform: "layers_to_transform",
  layersPattern: "layers_pattern",
  rankPattern: "rank_pattern",
  alphaPattern: "alpha_pattern",
  useRslora: "use_rslora",
  useDora: "use_dora",
  bias: "bias",
  modulesToSave: "lora_modules_to_save",
  initLoraWeights: "init_lora_weights",
};

/** Options by the names of run files, as far as they are not their defaults: for what decides whether runs are alike. */
export function changedOptions(config: LoraConfig): Record<string, unknown> {
  const keys = Object.keys(defaultLoraConfig) as (keyof LoraConfig)[];
  const always: readonly (keyof LoraConfig)[] = ["r", "loraAlpha", "loraDropout", "targetModules"];
  return Object.fromEntries(
    keys
      .filter(
        (key) =>
          always.includes(key) || JSON.stringify(config[key]) !== JSON.stringify(defaultLoraConfig[key]),
      )
      .map((key) => [optionNames[key], config[key]]),
  );
}

/** Initial values that leave the base model as it is, and those that PEFT takes out of its weights. */
const plainInits: readonly unknown[] = [true, false, "gaussian", "orthogonal"];
const weightInit = /^(olora|pissa|pissa_niter_\d+)$/;

/** Whether initial values are a part of the weight, by which that is made less. */
export const takesFromWeight = ({ initLoraWeights }: LoraConfig): boolean =>
  typeof initLoraWeights === "string" && weightInit.test(initLoraWeights);

/**
 * The whole config of a new adapter.
 *
 * @throws CraftError for an unknown option and for a value out of range, by the name that the option has in run files.
 */
export function loraConfig(options: LoraOptions): LoraConfig {
  refuseUnknown("peftConfig", options, Object.keys(defaultLoraConfig));
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const config: LoraConfig = { ...defaultLoraConfig, ...(Object.fromEntries(given) as Partial<LoraConfig>) };
  const refuse = (key: keyof LoraConfig, reason: string, remedy?: string): never => {
    const subject = optionNames[key];
    throw new CraftError({
      subject,
      value: config[key],
      reason,
      ...(remedy === undefined ? {} : { remedy }),
    });
  };
  const { r, loraAlpha, loraDropout, targetModules, layersToTransform, layersPattern } = config;
  const isRank = (value: number): boolean => Number.isSafeInteger(value) && value >= 1;
  if (!isRank(r)) refuse("r", "must be a whole number from 1 on");
  if (!(loraAlpha > 0)) refuse("loraAlpha", "must be positive");
  if (!(loraDropout >= 0 && loraDropout < 1)) refuse("loraDropout", "must be at least 0 and below 1");
  if (targetModules?.length === 0) refuse("targetModules", "must name at least one layer");
  if (!Object.values(config.rankPattern).every(isRank))
    refuse("rankPattern", "must give whole numbers from 1 on");
  if (!Object.values(config.alphaPattern).every((alpha) => alpha > 0))
    refuse("alphaPattern", "must give positive numbers");
  if (!biasModes.includes(config.bias)) refuse("bias", `is none of ${biasModes.join(", ")}`);
  if (layersToTransform !== undefined && typeof targetModules === "string")
    refuse("layersToTransform", "goes with a list in lora_target_modules only");
  if (layersPattern !== undefined && layersToTransform === undefined)
    refuse("layersPattern", "does nothing without layers_to_transform");
  if (!plainInits.includes(config.initLoraWeights) && !takesFromWeight(config))
    refuse(
      "initLoraWeights",
      "is not supported",
      "Supported are true, false, gaussian, orthogonal, olora, pissa and pissa_niter_N.",
    );
  return config;
}
