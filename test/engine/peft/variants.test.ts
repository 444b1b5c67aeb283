/** @file Adapters of every kind against PEFT (parity/peft_adapters.py), read from its files, made anew, and written. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readJsonObject } from "../../../src/models/json_fields.js";
import { plainJson } from "../../../src/models/python_json.js";
import type { CausalLM } from "../../../src/models/index.js";
import { withPackedWeights } from "../../../src/nn/index.js";
import { AdamW } from "../../../src/optim/index.js";
import { LoraModel, type LoraOptions } from "../../../src/peft/index.js";
import { compile, HostTensor, type Tensor } from "../../../src/tensor/index.js";
import { camelCaseKeys } from "../../../src/training/index.js";
import { liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { expectClose, largestDifference, need, readTensors, type Expected } from "../fixtures.js";
import { loadArchitecture } from "../models/architecture_fixture.js";
import { load, realLogits, run, type ModelInput } from "../models/llama_fixture.js";

const folder = join(import.meta.dirname, "../../fixtures/peft/variants");
interface Case {
  readonly name: string;
  readonly folder: string;
  readonly checkpoint: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly targets: readonly string[];
  readonly trained: readonly string[];
}
const { input, step, cases } = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as {
  readonly input: ModelInput;
  readonly step: { readonly lr: number; readonly weight_decay: number };
  readonly cases: readonly Case[];
};

/** PEFT's options as ours; what is not among ours would be refused. */
const optionsOf = ({ options }: Case): LoraOptions => camelCaseKeys(options);

let fixture: Map<string, Expected>;
beforeAll(async () => {
  await loadTorch();
  fixture = readTensors(join(folder, "expected.safetensors"));
});

/** Under test/fixtures. */
const loadCheckpoint = (path: string): Promise<CausalLM> => {
  const [group, name] = path.split("/") as [string, string];
  return group === "llama" ? load(name) : loadArchitecture(name);
};

const ids = HostTensor.from(input.inputIds, "int64");
const mask = HostTensor.from(input.attentionMask!, "int64");

/** Logits at real positions. */
async function logitsOf(
  model: CausalLM,
  around: <T>(body: () => T) => T = (body) => body(),
): Promise<readonly number[]> {
  const program = compile((inputIds: Tensor, attentionMask: Tensor) =>
    around(() => model.forward(inputIds, { attentionMask })),
  );
  using logits = await program(ids, mask);
  program.dispose();
  return realLogits(logits, input, 1);
}

describe.each(cases)("$name", (one) => {
  const expected = (what: string): Expected => need(fixture, `${one.name}/${what}`);
  /** The tolerance is a share of the largest logit, which is above 1 in all of these models. */
  const near = (actual: readonly number[], what: string, tolerance = 1e-5): void => {
    const { values } = expected(what);
    const scale = Math.max(...values.map(Math.abs));
    expect(scale).toBeGreaterThan(1);
    expect(largestDifference(actual, values), what).toBeLessThan(tolerance * scale);
  };

  let model: CausalLM;
  let lora: LoraModel;
  beforeEach(async () => {
    model = await loadCheckpoint(one.checkpoint);
    lora = LoraModel.load(model, join(folder, one.folder));
  });
  afterEach(() => model.dispose());

  it("adapts and trains what PEFT does, when made anew", async () => {
    lora.detach();
    const own = LoraModel.create(model, optionsOf(one), 1);
    expect([...own.updates.keys()].sort()).toEqual(one.targets);
    expect([...own.namedParameters()].map(([name]) => name).sort()).toEqual(one.trained);
    expect(model.trainableParameters().length).toBe(
      own.parameters().length - (model.untiedHead?.trainable === true ? 1 : 0),
    );
  });

  it("computes what PEFT computes: as it is, in packed weights, and disabled", async () => {
    near(await logitsOf(model), "logits");
    near(await logitsOf(model, withPackedWeights), "logits");
    // Biases go back to what they were here, and do not in PEFT.
    const base = await loadCheckpoint(one.checkpoint);
    const plain = await logitsOf(base);
    base.dispose();
    const both = compile((inputIds: Tensor, attentionMask: Tensor) => ({
      off: lora.disabled(() => model.forward(inputIds, { attentionMask })),
      on: model.forward(inputIds, { attentionMask }),
    }));
    const { on, off } = await both(ids, mask);
    both.dispose();
    near(realLogits(on, input, 1), "logits");
    expect(largestDifference(realLogits(off, input, 1), plain)).toBe(0);
    on.dispose();
    off.dispose();
    expect(largestDifference(await lora.disabled(() => logitsOf(model)), plain)).toBe(0);
    // Where PEFT has the weights less what the update begins with, its numbers are not the base model's.
    if (!one.name.includes("issa") && one.name !== "olora" && one.options["bias"] === undefined)
      near(plain, "disabled");
    near(await logitsOf(model), "logits");
  });

  it("has PEFT's gradients, and its values after a step", async () => {
    const named = [...lora.namedParameters()];
    const { gradients, logits } = await run(model, input, named);
    logits.dispose();
    for (const [name, gradient] of gradients)
      if (fixture.has(`${one.name}/grad.${name}`))
        expectClose(gradient, expected(`grad.${name}`), name, 2e-5);
    const optimizer = new AdamW([{ parameters: named.map(([, p]) => p), weightDecay: step.weight_decay }]);
    optimizer.step([...gradients.values()], step.lr);
    optimizer.dispose();
    for (const [name, parameter] of named)
      if (fixture.has(`${one.name}/after.${name}`))
        expectClose(parameter.value, expected(`after.${name}`), name, 2e-5);
    near(await logitsOf(model), "after", 1e-4);
  });

  it("is merged, unmerged, and merged for good, with the adapter's output", async () => {
    const before = liveTensors();
    await lora.mergeAdapter();
    near(await logitsOf(model), "logits", 2e-5);
    expect(() => lora.disabled(() => 0)).toThrow(/merged into the weights\. Call unmergeAdapter/);
    lora.unmergeAdapter();
    expect(liveTensors()).toBe(before);
    near(await logitsOf(model), "logits");
    expect(await lora.mergeAndUnload()).toBe(model);
    near(await logitsOf(model), "logits", 2e-5);
    expect(LoraModel.of(model)).toBeUndefined();
  });

  it("leaves no tensor behind when it is detached", async () => {
    lora.detach();
    const before = liveTensors();
    LoraModel.create(model, optionsOf(one), 1).detach();
    LoraModel.load(model, join(folder, one.folder)).detach();
    expect(liveTensors()).toBe(before);
  });

  it("is written byte for byte as PEFT writes it", () => {
    const path = mkdtempSync(join(tmpdir(), "craft-variant-"));
    try {
      lora.save(path);
      for (const file of readdirSync(join(folder, one.folder)))
        expect(
          readFileSync(join(path, file)).equals(readFileSync(join(folder, one.folder, file))),
          file,
        ).toBe(true);
      // A new one of the same options says the same, apart from where the model lies.
      lora.detach();
      LoraModel.create(model, optionsOf(one), 1).save(path);
      const [own, peft] = [path, join(folder, one.folder)].map((place) => ({
        ...(plainJson(readJsonObject(join(place, "adapter_config.json"))) as Record<string, unknown>),
        base_model_name_or_path: "",
      }));
      expect(sorted(own)).toEqual(sorted(peft));
    } finally {
      rmSync(path, { recursive: true });
    }
  });
});

/** Lists of names are sets in PEFT. */
const sorted = (json: Readonly<Record<string, unknown>> | undefined): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(json ?? {}).map(([key, value]) => [
      key,
      Array.isArray(value) ? [...(value as readonly unknown[])].sort() : value,
    ]),
  );
