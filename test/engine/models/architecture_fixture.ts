/** @file A tiny checkpoint of each architecture and what transformers computes with it (parity/architectures.py). */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AutoModelForCausalLM, type CausalLM } from "../../../src/models/index.js";
import { inFolder, type ModelInput } from "./llama_fixture.js";

export const architecturesFolder = join(import.meta.dirname, "../../fixtures/architectures");

type Fields = Readonly<Record<string, unknown>>;

export interface ArchitectureCase {
  /** By name: fields of config.json that change; null removes one that may not be null. */
  readonly variants: Readonly<Record<string, Fields>>;
  /** The continuation of each prompt, 32 tokens. */
  readonly greedy: readonly (readonly number[])[];
  /** The same under `original_max_position_embeddings: 16`, beyond which LongRoPE has other factors. */
  readonly crossing?: readonly (readonly number[])[];
}

const file = JSON.parse(readFileSync(join(architecturesFolder, "cases.json"), "utf8")) as {
  readonly prompts: readonly (readonly number[])[];
  readonly inputs: Readonly<Record<"plain" | "left", ModelInput>>;
  readonly architectures: Readonly<Record<string, ArchitectureCase>>;
};
export const { prompts, inputs } = file;
export const architectures = Object.entries(file.architectures);

const mayBeNull = ["sliding_window", "attn_logit_softcapping", "final_logit_softcapping"];

/** Copies a checkpoint and changes its config.json. */
export function copyArchitecture(name: string, into: string, fields: Fields = {}): void {
  cpSync(join(architecturesFolder, name), into, {
    recursive: true,
    filter: (path) => !/(expected|text)\.safetensors$/.test(path),
  });
  const path = join(into, "config.json");
  const config = new Map(Object.entries(JSON.parse(readFileSync(path, "utf8")) as Fields));
  for (const [key, value] of Object.entries(fields)) {
    if (value === null && !mayBeNull.includes(key)) config.delete(key);
    else config.set(key, value);
  }
  writeFileSync(path, JSON.stringify(Object.fromEntries(config)));
}

export async function loadArchitecture(name: string, fields?: Fields): Promise<CausalLM> {
  return inFolder(async (path) => {
    copyArchitecture(name, path, fields);
    return AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" });
  });
}
