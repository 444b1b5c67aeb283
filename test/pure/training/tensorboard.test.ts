/** @file TensorBoard's event files against its own writer (parity/event_files.py). */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LogEntry } from "../../../src/training/index.js";
import {
  EventFile,
  restartEvent,
  scalarEvent,
  tfRecord,
  versionEvent,
  type ScalarEvent,
} from "../../../src/training/event_file.js";
import { TensorBoardCallback } from "../../../src/training/tensorboard.js";

interface Recorded {
  readonly wallTime: number;
  readonly step: number;
  readonly record: string;
}

const fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../fixtures/tensorboard/events.json"), "utf8"),
) as {
  readonly version: Recorded;
  readonly restart: Recorded;
  readonly scalars: readonly (Recorded & ScalarEvent)[];
};
const hex = (message: Uint8Array): string => Buffer.from(tfRecord(message)).toString("hex");

describe("records are those of TensorBoard's writer, byte for byte:", () => {
  it("of the version, and of a new beginning", () => {
    const { version, restart } = fixture;
    expect(hex(versionEvent(version.wallTime))).toBe(version.record);
    expect(hex(restartEvent(restart.wallTime, restart.step))).toBe(restart.record);
  });

  it.each(fixture.scalars)("of scalars at step $step", ({ record, ...event }) => {
    expect(hex(scalarEvent(event))).toBe(record);
  });
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-events-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The messages of a file, as hex. */
function messages(path: string): string[] {
  const bytes = readFileSync(path);
  const result: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    const message = bytes.subarray(at + 12, at + 12 + length);
    // The frame with its checksums is what the writer makes of the message.
    expect(bytes.subarray(at, at + 16 + length).equals(tfRecord(message))).toBe(true);
    result.push(message.toString("hex"));
    at += 16 + length;
  }
  return result;
}

const begin = (startStep: number, logHistory: readonly LogEntry[]): TensorBoardCallback => {
  const callback = new TensorBoardCallback(folder);
  // Of the state, only the history is read.
  callback.onTrainBegin({ totalSteps: 9, startStep }, { state: { logHistory } as never });
  return callback;
};
const files = (): string[] => readdirSync(join(folder, "runs")).sort();
const text = (part: string): string => Buffer.from(part).toString("hex");

describe("a run", () => {
  it("writes what it logs, with transformers' tags", () => {
    const callback = begin(0, []);
    callback.onLog({ step: 2, epoch: 0.5, loss: 1.5, left_out: undefined });
    callback.onEvaluate({ step: 2, epoch: 0.5, eval_loss: 2.5 });
    expect(files()).toHaveLength(1);
    expect(files()[0]).toMatch(/^events\.out\.tfevents\.\d{10}\..+\.\d+\.0$/);
    const [version, log, evaluation, ...more] = messages(join(folder, "runs", files()[0]!));
    expect(more).toEqual([]);
    expect(version).toContain(text("brain.Event:2"));
    for (const tag of ["train/epoch", "train/loss"]) expect(log).toContain(text(tag));
    expect(log).not.toContain(text("left_out"));
    expect(evaluation).toContain(text("eval/loss"));
  });

  it("that goes on adds a file that begins anew at its step", () => {
    begin(0, []).onLog({ step: 1, loss: 1 });
    const history = [
      { step: 1, loss: 1 },
      { step: 2, loss: 0.75 },
    ];
    begin(2, history).onLog({ step: 3, loss: 0.5 });
    expect(files()).toHaveLength(2);
    const second = messages(join(folder, "runs", files()[1]!));
    // Version, new beginning at step 2, the entry of step 2, the entry of step 3.
    expect(second).toHaveLength(4);
    expect(second[1]!.endsWith("10023a020801")).toBe(true);
    expect(second[2]).toContain("1002");
    expect(second[3]).toContain("1003");
  });

  it("that goes on in another folder brings along what was logged", () => {
    begin(2, [{ step: 1, loss: 1 }]);
    expect(messages(join(folder, "runs", files()[0]!))).toHaveLength(2);
  });
});

it("two files of one second have names of their own", () => {
  const now = 1_764_000_000_000;
  const [first, second] = [new EventFile(folder, now), new EventFile(folder, now)];
  expect(second.path).toBe(first.path.replace(/0$/, "1"));
});
