/** @file Parameters of the model that an adapter trains in copies of its own: `modules_to_save` and biases. */
import { CraftError } from "../errors.js";
import type { CausalLM } from "../models/causal_lm.js";
import type { Parameter } from "../tensor/index.js";
import { isFloating } from "../torch/dtype.js";
import type { LoraConfig } from "./lora_config.js";

/** A parameter of the model that an adapter replaces. */
export interface Original {
  /** In files, without PEFT's prefix. */
  readonly name: string;
  /** In the model; `lm_head.weight` also where the head is tied. */
  readonly parameter: string;
  readonly original: Parameter;
}

const head = "lm_head";

/**
 * The parameters that a config trains whole, by PEFT's rule: a module whose path ends in a name, wherever that begins.
 *
 * @param adapted paths of the layers that have an update
 * @throws CraftError if a name is that of no module.
 */
export function ownParameters(model: CausalLM, config: LoraConfig, adapted: ReadonlySet<string>): Original[] {
  const modules = [...model.namedModules()].filter(([path]) => path !== "" && !path.includes(".adapter"));
  const found = new Map<string, Original>();
  for (const end of config.modulesToSave ?? []) {
    const chosen = modules.filter(([path]) => path.endsWith(end));
    const tied = model.headIsTied && head.endsWith(end);
    if (chosen.length === 0 && !tied) throw noSuchModule(model, end);
    for (const [path, module] of chosen) {
      for (const [name, original] of module.namedParameters(path))
        if (!name.includes(".adapter.")) found.set(name, { name, parameter: name, original });
    }
    const name = `${head}.weight`;
    const quantised = [...found.values()].find(({ original }) => !isFloating(original.dtype));
    if (quantised !== undefined)
      throw new CraftError({
        subject: "lora_modules_to_save",
        value: end,
        reason: `${quantised.name} is stored in 4 bits, and cannot be trained`,
        remedy: "Name modules that are not quantised, or load the model without quantisation.",
      });
    if (tied) found.set(name, { name, parameter: name, original: model.headWeight() });
  }
  for (const [parameter, original] of model.namedParameters()) {
    if (!parameter.endsWith(".bias") || parameter.includes(".adapter.") || found.has(parameter)) continue;
    const path = parameter.slice(0, -".bias".length);
    const wanted = config.bias === "all" || (config.bias === "lora_only" && adapted.has(path));
    const name = adapted.has(path) ? `${path}.base_layer.bias` : parameter;
    if (wanted) found.set(parameter, { name, parameter, original });
  }
  return [...found.values()];
}

/** Whether this is the head of its own that a tied model gets. */
export const isTiedHead = (model: CausalLM, { parameter }: Original): boolean =>
  model.headIsTied && parameter === `${head}.weight`;

function noSuchModule(model: CausalLM, name: string): CraftError {
  const ends = new Set([...model.namedModules()].map(([path]) => path.split(".").at(-1)!));
  const known = [...ends, ...(model.headIsTied ? [head] : [])].filter((end) => !/^\d*$/.test(end));
  return new CraftError({
    subject: "lora_modules_to_save",
    value: name,
    reason: "is the end of no module's path",
    remedy: `Modules end in ${known.join(", ")}.`,
  });
}
