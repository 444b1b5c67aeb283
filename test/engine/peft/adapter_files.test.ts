import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  newAdapterConfig,
  readAdapter,
  writeAdapter,
  type Adapter,
} from "../../../src/peft/adapter_files.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { loadTorch } from "../../../src/torch/torch.js";

const fixtures = join(import.meta.dirname, "../../fixtures/models");
const { tensors: expected } = JSON.parse(readFileSync(join(fixtures, "adapter.json"), "utf8")) as {
  readonly tensors: Readonly<Record<string, { readonly shape: number[]; readonly values: number[] }>>;
};

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "craft-adapter-"));
  await loadTorch();
});
afterAll(() => rmSync(folder, { recursive: true }));

function dispose({ tensors }: Adapter): void {
  for (const tensor of tensors.values()) tensor.dispose();
}

describe("adapter folders", () => {
  it("of PEFT are read exactly", () => {
    const live = liveTensors();
    const adapter = readAdapter(join(fixtures, "adapter"));
    const found = [...adapter.tensors].map(([name, tensor]) => [
      name,
      { dtype: tensor.dtype, shape: tensor.shape, values: tensor.toNumbers() },
    ]);
    expect(Object.fromEntries(found)).toEqual(expected);
    dispose(adapter);
    expect(liveTensors()).toBe(live);
  });

  it("are written byte for byte as PEFT writes them", () => {
    const adapter = readAdapter(join(fixtures, "adapter"));
    const config = newAdapterConfig({ r: 2, loraAlpha: 5, targetModules: ["q_proj", "v_proj"] });
    const target = join(folder, "new", "adapter");
    writeAdapter(target, { config, tensors: adapter.tensors });
    dispose(adapter);
    expect(readdirSync(target).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
    for (const file of readdirSync(target))
      expect(readFileSync(join(target, file)).equals(readFileSync(join(fixtures, "adapter", file)))).toBe(
        true,
      );
  });

  it("stay as they were if writing fails", () => {
    const target = join(folder, "kept");
    const adapter = readAdapter(join(fixtures, "adapter"));
    writeAdapter(target, adapter);
    const before = readdirSync(target).map((file) => readFileSync(join(target, file), "base64"));
    const loraA = DeviceTensor.full([2, 8], 1);
    const loraB = DeviceTensor.full([8, 2], 1);
    loraB.dispose();
    const names = ["base_model.model.x.lora_A.weight", "base_model.model.x.lora_B.weight"] as const;
    const broken = {
      ...adapter,
      tensors: new Map([...adapter.tensors, [names[0], loraA], [names[1], loraB]]),
    };
    expect(() => writeAdapter(target, broken)).toThrow("was disposed of");
    const swapped = { ...adapter, tensors: new Map(names.map((name) => [name, loraA])) };
    expect(() => writeAdapter(target, swapped)).toThrow(
      "tensors of x = lora_A [2, 8], lora_B [2, 8]: do not have the shapes [r, in] and [out, r] with r = 2",
    );
    expect(readdirSync(target).map((file) => readFileSync(join(target, file), "base64"))).toEqual(before);
    loraA.dispose();
    dispose(adapter);
  });
});
