/** @file The tables of options in docs/guide/run_files.md are those of the code. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { craftFields } from "../../../src/craft/config.js";
import { peftFields } from "../../../src/cli/peft_options.js";
import { quantizationFields } from "../../../src/cli/quantization_options.js";
import { defaultLoraConfig } from "../../../src/peft/lora.js";
import { sftFields } from "../../../src/trainers/index.js";
import { optionName } from "../../../src/training/index.js";

const page = readFileSync(join(import.meta.dirname, "../../../docs/guide/run_files.md"), "utf8");

/** Option and default of each row of the tables that have a column of defaults. */
const documented = new Map(
  [...page.matchAll(/^\| `([a-z_0-9]+)` +\| (\S.*?|) *\|.*\|.*$/gm)].map(([, name, value]) => [
    name!,
    value!,
  ]),
);
const fields = { ...sftFields, ...craftFields };

describe("docs/guide/run_files.md", () => {
  it("names every option of the trainers", () => {
    const missing = Object.keys(fields)
      .map(optionName)
      .filter((name) => !documented.has(name));
    expect(missing).toEqual([]);
  });

  it.each(Object.entries(fields))("gives the default of %s", (name, field) => {
    const { data } = field.safeParse(undefined);
    const shown =
      data === undefined
        ? "none"
        : `\`${typeof data === "number" ? numberText(data) : JSON.stringify(data)}\``;
    expect(documented.get(optionName(name))).toBe(shown);
  });

  it("names every option of adapters", () => {
    expect(
      Object.keys(peftFields)
        .map(optionName)
        .filter((name) => !documented.has(name)),
    ).toEqual([]);
  });

  it("names nothing that is no option", () => {
    const own = [
      "model_name_or_path",
      "model_revision",
      "train_dataset",
      "dataset_config",
      "dataset_train_split",
      "dataset_test_split",
      "eval_dataset",
      "contrastive_dataset",
      "contrastive_columns",
      "craft_preset",
    ];
    const more = [
      "contrastive_eval_dataset",
      ...Object.keys({ ...peftFields, ...quantizationFields }).map(optionName),
    ];
    const known = new Set([...own, ...more, ...Object.keys(fields).map(optionName)]);
    expect([...documented.keys()].filter((name) => !known.has(name))).toEqual([]);
    expect(own.filter((name) => !documented.has(name))).toEqual([]);
  });

  it("gives LoRA's defaults", () => {
    const { r, loraAlpha, loraDropout } = defaultLoraConfig;
    expect(documented.get("lora_r")).toBe(`\`${r}\``);
    expect(documented.get("lora_alpha")).toBe(`\`${loraAlpha}\``);
    expect(documented.get("lora_dropout")).toBe(`\`${loraDropout}\``);
  });
});

/** As people write it: 0.00002, but 1e-8. */
function numberText(value: number): string {
  return value > 0 && value < 1e-5
    ? value.toExponential()
    : value.toLocaleString("en", { maximumFractionDigits: 10, useGrouping: false });
}
