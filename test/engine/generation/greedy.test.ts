/** @file Greedy continuations against transformers' generate. */
import { afterAll, describe, expect, it } from "vitest";
import { generate, TokenGenerator } from "../../../src/generation/index.js";
import { loadAdapter } from "../../../src/peft/load_adapter.js";
import { DeviceTensor, liveTensors } from "../../../src/torch/device_tensor.js";
import { adapterFolder, expected, loadModel } from "./fixture.js";

const { prompts: inputIds, greedy } = expected;
const maxNewTokens = greedy[0]!.length;
const model = await loadModel();
const generator = new TokenGenerator(model);
afterAll(() => generator.dispose());

describe("greedy generation", () => {
  it("continues a ragged batch as transformers does, past the first size of its cache", async () => {
    expect(maxNewTokens).toBeGreaterThan(128);
    const { sequences, stopped } = await generator.generate({ inputIds, maxNewTokens });
    expect(sequences).toEqual(greedy);
    expect(stopped).toEqual(inputIds.map(() => "length"));
  });

  it("gives a row alone what it gives in a batch", async () => {
    for (const [i, row] of inputIds.entries()) {
      const { sequences } = await generator.generate({ inputIds: [row], maxNewTokens: 24 });
      expect(sequences).toEqual([greedy[i]!.slice(0, 24)]);
    }
  });

  it("keeps the order of rows over several batches", async () => {
    const { sequences } = await generator.generate({ inputIds, maxNewTokens: 12, batchSize: 3 });
    expect(sequences).toEqual(greedy.map((row) => row.slice(0, 12)));
  });

  it("ends rows at their end-of-sequence token and tells so", async () => {
    const { sequences, stopped } = await generator.generate({
      inputIds,
      maxNewTokens: 40,
      eosTokenIds: expected.eosTokenIds,
    });
    expect(sequences).toEqual(expected.greedyUntilEos);
    expect(stopped).toEqual(sequences.map((row) => (row.length < 40 ? "eos" : "length")));
    expect(stopped).toContain("eos");
  });

  it("gives each token to onToken as it comes, and none after the end of its row", async () => {
    const seen: number[][] = inputIds.map(() => []);
    const { sequences } = await generator.generate({
      inputIds,
      maxNewTokens: 40,
      eosTokenIds: expected.eosTokenIds,
      onToken: ({ row, index, token }) => {
        expect(index).toBe(seen[row]!.length);
        seen[row]!.push(token);
      },
    });
    expect(seen).toEqual(sequences);
  });

  it("does not depend on what fills shorter prompts", async () => {
    const { sequences } = await generator.generate({ inputIds, maxNewTokens: 12, padTokenId: 23 });
    expect(sequences).toEqual(greedy.map((row) => row.slice(0, 12)));
  });

  it("follows adapters that are attached, changed and detached between calls", async () => {
    const call = async (): Promise<number[][]> =>
      (await generator.generate({ inputIds, maxNewTokens: 40 })).sequences;
    const plain = greedy.map((row) => row.slice(0, 40));
    expect(await call()).toEqual(plain);
    const adapter = loadAdapter(model, adapterFolder);
    expect(await call()).toEqual(expected.greedyWithAdapter);
    const matrices = [...adapter.namedParameters()].flatMap(([name, p]) =>
      name.includes("lora_B") ? [p] : [],
    );
    const trained = matrices.map((b) => b.value.toNumbers());
    for (const b of matrices) b.set(DeviceTensor.full(b.shape, 0));
    expect(await call()).toEqual(plain);
    matrices.forEach((b, i) => b.set(DeviceTensor.fromHost(trained[i]!, b.shape, "float32")));
    expect(await call()).toEqual(expected.greedyWithAdapter);
    adapter.detach();
    expect(await call()).toEqual(plain);
  });

  it("holds no native tensor after generate, and as many as before after each call of a generator", async () => {
    const other = await loadModel("bfloat16");
    const before = liveTensors();
    const counts: number[] = [];
    for (let i = 0; i < 3; i++) {
      await generate(other, { inputIds, maxNewTokens: 20, temperature: i });
      expect(liveTensors()).toBe(before);
    }
    using kept = new TokenGenerator(other);
    for (let i = 0; i < 4; i++) {
      await kept.generate({ inputIds, maxNewTokens: 140 });
      counts.push(liveTensors());
    }
    expect(new Set(counts).size).toBe(1);
    other.dispose();
  });

  it("frees everything when a callback throws", async () => {
    const before = liveTensors();
    const stop = new Error("enough");
    const onToken = ({ index }: { index: number }): void => {
      if (index === 5) throw stop;
    };
    await expect(generate(model, { inputIds, maxNewTokens: 20, onToken })).rejects.toBe(stop);
    expect(liveTensors()).toBe(before);
  });
});
