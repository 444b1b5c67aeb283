/** @file Adapters of reward models, as PEFT saves those of sequence classifiers: with the head beside them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "../../models/atomic_file.js";
import { openSafetensors } from "../../models/safetensors/index.js";
import { writeSafetensors } from "../../models/safetensors/write.js";
import type { DeviceTensor } from "../../torch/device_tensor.js";

/** Adds a head to an adapter folder that was written for a causal language model. */
export function addHead(folder: string, score: DeviceTensor): void {
  const weights = join(folder, "adapter_model.safetensors");
  const tensors: [string, DeviceTensor][] = [];
  try {
    {
      using file = openSafetensors(weights);
      for (const name of file.tensors.keys()) tensors.push([name, file.read(name)]);
    }
    const named: [string, DeviceTensor][] = [...tensors, ["base_model.model.score.weight", score]];
    writeSafetensors(weights, named, { metadata: { format: "pt" } });
  } finally {
    for (const [, tensor] of tensors) tensor.dispose();
  }
  const file = join(folder, "adapter_config.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as Readonly<Record<string, unknown>>;
  const saved = config["modules_to_save"];
  const others: unknown[] = Array.isArray(saved) ? saved : [];
  const whole = { ...config, task_type: "SEQ_CLS", modules_to_save: [...others, "score"] };
  writeFileAtomically(file, `${JSON.stringify(whole, undefined, 2)}\n`);
}
