/** @file A truly trained model (stories260K) against what transformers computes with it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AutoModelForCausalLM } from "../../../src/models/index.js";
import { largestDifference } from "../fixtures.js";
import { run } from "./llama_fixture.js";

const folder = join(import.meta.dirname, "../../../../shared/data/stories260K");
const present = existsSync(join(folder, "reference.json"));

describe.skipIf(!present)(`stories260K${present ? "" : " (skipped: ../shared/data is not there)"}`, () => {
  it("has the loss, logits and gradient norms of transformers", async () => {
    const reference = JSON.parse(readFileSync(join(folder, "reference.json"), "utf8")) as {
      readonly input_ids: readonly number[];
      readonly loss: number;
      readonly last_logits_first16: readonly number[];
      readonly last_argmax: number;
      readonly grad_norm_total: number;
      readonly grad_norm_l0_q_proj: number;
    };
    using model = await AutoModelForCausalLM.fromPretrained(folder, { dtype: "float32" });
    const ids = [reference.input_ids];
    const { logits, loss, gradients } = await run(model, {
      inputIds: ids,
      attentionMask: null,
      positions: null,
      labels: ids,
    });
    expect(loss).toBeCloseTo(reference.loss, 5);
    const last = logits.toNumbers().slice(-512);
    expect(largestDifference(last.slice(0, 16), reference.last_logits_first16)).toBeLessThan(2e-5);
    expect(last.indexOf(Math.max(...last))).toBe(reference.last_argmax);

    const squares = new Map(
      [...gradients].map(([name, g]) => [name, g.toNumbers().reduce((sum, x) => sum + x * x, 0)]),
    );
    const total = Math.sqrt([...squares.values()].reduce((a, b) => a + b, 0));
    expect(total).toBeCloseTo(reference.grad_norm_total, 4);
    const first = Math.sqrt(squares.get("model.layers.0.self_attn.q_proj.weight")!);
    expect(first).toBeCloseTo(reference.grad_norm_l0_q_proj, 5);
  });
});
