/** @file log.jsonl, the console, and averages between two entries. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConsoleProgress, JsonlLog } from "../../../src/training/log.js";
import { RunningTotals } from "../../../src/training/metrics.js";
import { FixedMixture } from "../../../src/training/mixture.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-log-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const text = () => readFileSync(join(folder, "log.jsonl"), "utf8");

describe("log.jsonl", () => {
  it("has one object a line, written at once, without what is undefined", () => {
    const log = new JsonlLog(folder);
    log.onTrainBegin({ totalSteps: 9, startStep: 0 }, { state: { logHistory: [] } });
    log.onLog({ step: 1, loss: 2.5, epoch: undefined });
    expect(text()).toBe('{"step":1,"loss":2.5}\n');
    log.onEvaluate({ step: 1, eval_loss: 3 });
    expect(text()).toBe('{"step":1,"loss":2.5}\n{"step":1,"eval_loss":3}\n');
  });

  it("begins empty with a new run", () => {
    writeFileSync(join(folder, "log.jsonl"), '{"step":1}\n');
    new JsonlLog(folder).onTrainBegin({ totalSteps: 9, startStep: 0 }, { state: { logHistory: [] } });
    expect(text()).toBe("");
  });

  it("begins with what the checkpoint knows where a run goes on", () => {
    writeFileSync(
      join(folder, "log.jsonl"),
      '{"step":1}\n{"step":2}\n{"step":2,"eval_loss":1}\n{"step":3}\n',
    );
    appendFileSync(join(folder, "log.jsonl"), '{"step":4,"lo');
    const log = new JsonlLog(folder);
    log.onTrainBegin(
      { totalSteps: 9, startStep: 2 },
      { state: { logHistory: [{ step: 1 }, { step: 2, epoch: undefined }] } },
    );
    expect(text()).toBe('{"step":1}\n{"step":2}\n');
    log.onLog({ step: 3 });
    expect(text().split("\n")).toHaveLength(4);
  });
});

describe("the console", () => {
  it("gets plain lines where it is no terminal", async () => {
    let out = "";
    const stream = {
      isTTY: false,
      write: (more: string) => ((out += more), true),
    } as unknown as NodeJS.WriteStream;
    const progress = await ConsoleProgress.create(stream);
    progress.onTrainBegin({ totalSteps: 4, startStep: 0 });
    progress.onStepEnd({ step: 1, loss: 2, tokensPerSecond: 10 });
    progress.onLog({ step: 1, loss: 0.123456, learning_rate: 0.00002, epoch: undefined });
    progress.onEvaluate({ eval_loss: 12 });
    progress.onNotice("a notice");
    progress.onSave("out/checkpoint-1");
    progress.onTrainEnd();
    expect(out).toMatch(
      /^step 1 {2}loss 0\.1235 {2}learning_rate 2\.00e-5 {2}left \d+s\neval_loss 12\na notice\nsaved out\/checkpoint-1\n$/,
    );
  });
});

describe("RunningTotals", () => {
  const window = (sum: number, weight: number, hits: number) =>
    new Map([["sft", { sum, weight, metrics: { hits } }]]);

  it("averages by weight over windows", () => {
    const totals = new RunningTotals();
    totals.add(window(6, 2, 1));
    totals.add(window(1, 8, 4));
    expect(totals.loss("sft")).toBeCloseTo(0.7, 12);
    expect(totals.metrics()).toEqual({ hits: 0.5 });
    expect(totals.loss("contrastive")).toBeUndefined();
  });

  it("goes on from its state, which later windows do not change", () => {
    const totals = new RunningTotals();
    totals.add(window(6, 2, 1));
    const state = totals.state();
    totals.add(window(1, 8, 4));
    const other = new RunningTotals();
    other.add(new Map(Object.entries(state)));
    expect(other.loss("sft")).toBe(3);
    other.add(window(1, 8, 4));
    expect([other.loss("sft"), other.metrics()]).toEqual([totals.loss("sft"), totals.metrics()]);
    totals.clear();
    expect([totals.loss("sft"), totals.metrics(), totals.tasks]).toEqual([undefined, {}, []]);
  });
});

describe("FixedMixture", () => {
  it("refuses a task that it has no factor for", () => {
    const mixture = new FixedMixture({ sft: 0.6, contrastive: 0.4 });
    expect(mixture.factors({ tasks: ["contrastive"] })).toEqual({ losses: [0.4], gradients: [0.4] });
    expect(() => mixture.factors({ tasks: ["dpo"] })).toThrow(
      "mixture = dpo: has no factor for this task. It knows sft, contrastive.",
    );
  });
});
