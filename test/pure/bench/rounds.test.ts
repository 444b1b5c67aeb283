import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { measure } from "../../../bench/rounds.js";
import type { SideSpec } from "../../../bench/side.js";

// A side of the protocol that notes each step in a file and says that step n took n times `unit` seconds.
const script = `
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
const [log, name, unit, failAt = "0", ...rest] = process.argv.slice(2);
const say = (message) => process.stdout.write(JSON.stringify(message) + "\\n");
const about = { import_seconds: 1, load_seconds: 2, versions: { torch: "2.13" }, settings: {} };
let steps = 0;
const step = () => {
  if (++steps === Number(failAt)) throw new Error("out of luck");
  appendFileSync(log, name + " ");
  return { seconds: steps * Number(unit), cpu_seconds: 0, loss: 10 + steps };
};
if (rest.includes("--once")) say({ ...step(), ...about, peak_rss_bytes: 1 });
else {
  say({ ready: true, ...about });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "quit") { say({ done: true, peak_rss_bytes: 1000 * Number(unit) }); break; }
    say(step());
  }
}
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-bench-test-"));
  writeFileSync(join(folder, "side.mjs"), script);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const spec = (name: string, unit: number, failAt = 0): SideSpec => ({
  name,
  label: name,
  command: process.execPath,
  args: [join(folder, "side.mjs"), join(folder, "log"), name, String(unit), String(failAt)],
});
const log = (): string[] => readFileSync(join(folder, "log"), "utf8").trim().split(" ");
const rounds = { steps: 3, warmUp: 1, starts: 2 };
const silent = (): void => undefined;

test("sides take turns in an order that moves on, and warm-up steps do not count", async () => {
  const result = await measure({ task: "t", specs: [spec("ours", 1), spec("peer", 2)] }, rounds, silent);
  expect(log().slice(0, 8)).toEqual(["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]);
  expect(log().slice(8)).toEqual(["ours", "peer", "peer", "ours"]);
  const [ours, peer] = result.sides;
  expect(ours!.step_seconds_all).toEqual([2, 3, 4]);
  expect(ours!.step_seconds).toBe(3);
  expect(peer!.step_seconds).toBe(6);
  expect(peer!.peak_rss_bytes).toBe(2000);
  expect(peer!.first_step_seconds_all).toHaveLength(2);
  expect(ours!.first_loss).toBe(11);
  expect(result.absent).toEqual([]);
});

test("a peer that fails is named with what it wrote, and the others go on", async () => {
  const specs = [spec("ours", 1), spec("late", 1, 3), spec("peer", 2)];
  const result = await measure({ task: "t", specs }, rounds, silent);
  expect(result.sides.map(({ name }) => name)).toEqual(["ours", "peer"]);
  expect(result.sides.map(({ step_seconds_all }) => step_seconds_all.length)).toEqual([3, 3]);
  expect(result.absent).toHaveLength(1);
  expect(result.absent[0]).toMatchObject({
    name: "late",
    reason: expect.stringContaining("out of luck") as string,
  });
});

test("a peer whose program does not exist is left out", async () => {
  const gone = { ...spec("gone", 1), command: join(folder, "no-such-program") };
  const result = await measure({ task: "t", specs: [spec("ours", 1), gone] }, rounds, silent);
  expect(result.sides).toHaveLength(1);
  expect(result.absent[0]!.reason).toContain("ENOENT");
});

test("a failure of our side is an error", async () => {
  const failing = measure({ task: "t", specs: [spec("ours", 1, 2), spec("peer", 1)] }, rounds, silent);
  await expect(failing).rejects.toThrow("out of luck");
});
