/** @file What `craft inspect` found, for people. */
import { formatTable } from "../../report/index.js";
import type { Inspection } from "../inspect.js";
import type { Method } from "./memory_facts.js";

const names: Readonly<Record<Method, string>> = {
  full: "full fine-tuning",
  lora: "LoRA",
  qlora: "QLoRA",
};

/** Bytes in decimal units, as disks and `craft doctor` count. */
export function size(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

const many = (count: number): string =>
  count >= 1e9
    ? `${(count / 1e9).toFixed(2)} billion`
    : count >= 1e6
      ? `${(count / 1e6).toFixed(1)} million`
      : count.toLocaleString("en");

const plural = (count: number, word: string): string =>
  `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

export function inspectionText(found: Inspection): string {
  const { parameters, shape, stored, lora, batch, dtype, free } = found;
  const dtypes = stored && Object.keys(stored.dtypes).join(" and ");
  const rows: [string, string][] = [
    ["model", found.model],
    ["type", found.modelType],
    [
      "shape",
      `${plural(shape.layers, "layer")}, hidden size ${shape.hiddenSize}, ${plural(shape.kvHeads, "key-value head")} of ${shape.headSize}`,
    ],
    ["vocabulary", plural(shape.vocabSize, "token")],
    ["context", plural(shape.maxLength, "token")],
    ["parameters", many(parameters.total)],
    ["  embedding", many(parameters.embedding)],
    ["  layers", many(parameters.layers)],
    ["  head", parameters.head === 0 ? "the embedding" : many(parameters.head)],
    [
      "LoRA",
      `rank ${lora.r} on ${lora.targets}: ${many(lora.trainable)} trained (${((100 * lora.trainable) / parameters.total).toPrecision(2)} %)`,
    ],
    [
      "on disk",
      stored === undefined
        ? "no weights here"
        : `${size(stored.bytes)}, ${dtypes!}, ${plural(stored.files, "file")}`,
    ],
  ];
  const table = rows.map(([name, value]) => `${name.padEnd(12)} ${value}`).join("\n");
  const fits = (total: number): string => (total <= free ? "yes" : "no");
  const training = found.training.map((one) => ({
    training: `${names[one.method]}${one.gradientCheckpointing ? ", checkpointing" : ""}`,
    weights: size(one.weights + one.derived),
    optimizer: size(one.optimizer),
    activations: size(one.activations),
    "in all": size(one.total),
    fits: fits(one.total),
  }));
  const { generation } = found;
  const generating = {
    generation: "the same rows as prompts",
    weights: size(generation.weights),
    "packed weights": size(generation.packed),
    "key-value cache": size(generation.cache),
    activations: size(generation.activations),
    "in all": size(generation.total),
    fits: fits(generation.total),
  };
  const intro = `Memory for ${plural(batch.rows, "row")} of ${plural(batch.length, "token")} in ${dtype}, estimated from the shapes; ${size(free)} are free:`;
  return [
    table,
    intro,
    formatTable({ rows: training }),
    formatTable({ rows: [generating] }),
    ...found.notes.map((note) => `note: ${note}`),
    "",
  ]
    .join("\n\n")
    .replace(/\n\n$/, "\n");
}
