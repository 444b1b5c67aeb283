/** @file Checkpoints in 4 bits whose parts disagree, and options that do not go together: refused, and nothing leaks. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  AutoModelForCausalLM,
  openCheckpoint,
  writeCheckpoint,
  type QuantizationOptions,
} from "../../../src/models/index.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import type { DType } from "../../../src/torch/dtype.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { inFolder } from "../models/llama_fixture.js";

beforeAll(() => loadTorch());

const folder = join(import.meta.dirname, "../../fixtures/quantization");
const weight = "model.layers.1.mlp.down_proj.weight";
const state = `${weight}.quant_state.bitsandbytes__nf4`;

type Change = (tensors: Map<string, DeviceTensor>) => void;

/** Loads the model in NF4 with some tensors changed, and gives the message of the error. */
async function loadChanged(change: Change): Promise<string> {
  const before = liveTensors();
  const message = await inFolder(async (path) => {
    cpSync(join(folder, "nf4/config.json"), join(path, "config.json"));
    const tensors = new Map<string, DeviceTensor>();
    const replaced = new Set<DeviceTensor>();
    using checkpoint = openCheckpoint(join(folder, "nf4"));
    for (const name of checkpoint.names) tensors.set(name, checkpoint.read(name));
    for (const tensor of tensors.values()) replaced.add(tensor);
    change(tensors);
    writeCheckpoint(path, tensors);
    for (const tensor of new Set([...replaced, ...tensors.values()])) tensor.dispose();
    return AutoModelForCausalLM.fromPretrained(path, { dtype: "float32" }).then(
      (model) => (model.dispose(), "loaded"),
      (error: unknown) => String(error).replaceAll(path, "PATH"),
    );
  });
  expect(liveTensors()).toBe(before);
  return message;
}

const put =
  (name: string, shape: readonly number[], dtype: DType, fill = 0): Change =>
  (tensors) =>
    void tensors.set(name, DeviceTensor.full(shape, fill, dtype));
const drop =
  (name: string): Change =>
  (tensors) =>
    void tensors.delete(name);

/** Changes fields of the state beside the weight. */
const withState =
  (fields: Readonly<Record<string, unknown>>): Change =>
  (tensors) => {
    const json = JSON.parse(Buffer.from(tensors.get(state)!.bytes()).toString()) as object;
    const bytes = Buffer.from(JSON.stringify({ ...json, ...fields }));
    tensors.set(state, DeviceTensor.fromHost(bytes, [bytes.length], "uint8"));
  };

const inState = (field: string, value: string): string =>
  `CraftError: PATH, tensor ${state}, ${field} = ${value}: `;

describe("a checkpoint in 4 bits", () => {
  it("loads as it is", async () => {
    expect(await loadChanged(() => undefined)).toBe("loaded");
  });

  it.each<readonly [string, Change, string]>([
    [
      "no state",
      drop(state),
      `CraftError: PATH, tensor ${weight}: is stored in 4 bits, and its quant_state is missing. `,
    ],
    ["no scales", drop(`${weight}.absmax`), `CraftError: PATH, tensor ${weight}.absmax: is missing. `],
    ["no weight", drop(weight), `CraftError: PATH, tensor ${weight}: is missing. `],
    ["no scales of scales", drop(`${weight}.nested_absmax`), `tensor ${weight}.nested_absmax: is missing. `],
    [
      "no values of scales",
      drop(`${weight}.nested_quant_map`),
      `tensor ${weight}.nested_quant_map: is missing. `,
    ],
    [
      "too few bytes",
      put(weight, [5, 1], "uint8"),
      `tensor ${weight} = [5, 1]: must have 96 elements by its quant_state. `,
    ],
    [
      "a weight of another dtype",
      put(weight, [96, 1], "float32"),
      `tensor ${weight} = float32: must be uint8 beside its quant_state. `,
    ],
    ["too many scales", put(`${weight}.absmax`, [6], "uint8"), `absmax = [6]: must have 3 elements`],
    [
      "scales of another dtype",
      put(`${weight}.absmax`, [3], "float32"),
      `absmax = float32: must be uint8 beside its quant_state. `,
    ],
    [
      "other levels",
      put(`${weight}.quant_map`, [16], "float32", 0.5),
      `quant_map = 0.5: has another value at 0 than bitsandbytes, -1. `,
    ],
    [
      "another shape",
      withState({ shape: [20, 16] }),
      `${inState("shape", "[20,16]")}does not agree with config.json, which says [16, 12]`,
    ],
    [
      "another block size",
      withState({ blocksize: 128 }),
      `absmax = [3]: must have 2 elements by its quant_state. `,
    ],
    [
      "a block size that is odd",
      withState({ blocksize: 7 }),
      `${inState("blocksize", "7")}must be an even number`,
    ],
    ["another type", withState({ quant_type: "fp4" }), `${inState("quant_type", "fp4")}must be nf4`],
    [
      "an unknown dtype",
      withState({ dtype: "float8" }),
      `${inState("dtype", "float8")}must be float32, bfloat16 or float16`,
    ],
    [
      "other blocks of scales",
      withState({ nested_blocksize: 2 }),
      `nested_absmax = [1]: must have 2 elements by its quant_state. `,
    ],
    [
      "scales of scales in half",
      withState({ nested_dtype: "float16" }),
      `${inState("nested_dtype", "float16")}must be float32`,
    ],
    ["no offset of scales", withState({ nested_offset: null }), `tensor ${state}, nested_offset: is missing`],
    ["a state that is no JSON", put(state, [9], "uint8", 33), `PATH, tensor ${state}`],
    [
      "the embedding in 4 bits",
      (tensors) => {
        for (const [name, tensor] of [...tensors])
          if (name.startsWith(`${weight}.`))
            tensors.set(name.replace(weight, "model.embed_tokens.weight"), tensor);
      },
      "tensor model.embed_tokens.weight: is stored in 4 bits, which is supported for linear layers beside the head alone. ",
    ],
  ])("with %s is refused", async (_what, change, message) => {
    expect(await loadChanged(change)).toContain(message);
  });
});

describe("options", () => {
  const load = (quantization: object, of = join(folder, "../llama/tied")): Promise<unknown> =>
    // What is wrong of an option's type, as in JavaScript.
    AutoModelForCausalLM.fromPretrained(of, { quantization: quantization as QuantizationOptions });

  it.each([
    [
      { loadIn4bit: true, bnb4bitQuantType: "int4" },
      "quantization.bnb4bitQuantType = int4: is not a type of 4 bits. Use nf4 or fp4.",
    ],
    [{ loadIn4bit: true, loadIn8bit: true }, "quantization.loadIn8bit: is no option. There are loadIn4bit,"],
    [{ loadIn4bit: "yes" }, "quantization.loadIn4bit = yes: must be true or false."],
    [
      { loadIn4bit: false, bnb4bitQuantType: "nf4" },
      "quantization.bnb4bitQuantType = nf4: has no effect with loadIn4bit: false.",
    ],
    [
      { loadIn4bit: true, bnb4bitComputeDtype: "int8" },
      "quantization.bnb4bitComputeDtype = int8: is not a dtype of floats.",
    ],
    [
      { loadIn4bit: true, llmInt8SkipModules: ["k_projs"] },
      "quantization.llmInt8SkipModules = k_projs: is neither the beginning nor the end of a module's path.",
    ],
    [
      { loadIn4bit: true, llmInt8SkipModules: ["("] },
      "quantization.llmInt8SkipModules = (: is no regular expression.",
    ],
  ])("%j are refused", async (options, message) => {
    const before = liveTensors();
    await expect(load(options)).rejects.toThrow(message);
    expect(liveTensors()).toBe(before);
  });

  it("for a model that is in 4 bits already are refused", async () => {
    await expect(load({ loadIn4bit: true }, join(folder, "nf4"))).rejects.toThrow(
      /^quantization: .*nf4 is stored in 4 bits already\. Leave the option out/,
    );
  });
});
