/** @file What parity/generation.py wrote. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { AutoModelForCausalLM, type CausalLM } from "../../../src/models/index.js";
import type { DType } from "../../../src/torch/dtype.js";

export interface Expected {
  readonly prompts: readonly (readonly number[])[];
  readonly greedy: readonly (readonly number[])[];
  readonly eosTokenIds: readonly number[];
  readonly greedyUntilEos: readonly (readonly number[])[];
  readonly greedyWithAdapter: readonly (readonly number[])[];
  readonly sequence: readonly number[];
  readonly logits: readonly (readonly number[])[];
  readonly temperature: number;
  readonly chances: readonly number[];
  readonly rows: readonly (readonly number[])[];
  readonly loss: { readonly loss: number; readonly tokens: number };
  readonly lossWithAdapter: { readonly loss: number; readonly tokens: number };
}

const folder = fileURLToPath(new URL("../../fixtures/generation/", import.meta.url));
export const modelFolder = `${folder}model`;
export const adapterFolder = `${folder}adapter`;
export const expected = JSON.parse(readFileSync(`${folder}expected.json`, "utf8")) as Expected;

export const loadModel = (dtype: DType = "float32"): Promise<CausalLM> =>
  AutoModelForCausalLM.fromPretrained(modelFolder, { dtype });
