import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root, type BuiltScripts } from "../../../bench/built.js";
import { trainerBenchmark, trainerNames } from "../../../bench/trainers.js";

const scripts: BuiltScripts = { path: (name) => `/built/${name}.js`, dispose: () => undefined };
const python = { python: "/env/python", versions: {}, craft: "stand-in" } as const;
const setting = { checkpoint: "/model", scripts, python };

test("there are benchmarks of the trainers on preferences and rollouts", () => {
  expect(trainerNames).toEqual(["dpo", "orpo", "grpo", "ppo"]);
});

describe.each(trainerNames)("%s", (name) => {
  const benchmark = trainerBenchmark(name);
  const [group] = benchmark.groups(setting);

  test("both sides read the same checkpoint, and the scripts know which trainer is meant", () => {
    const [ours, peer] = group!.specs;
    expect(ours!.name).toBe("ours");
    expect(ours!.args.slice(1)).toEqual(["--checkpoint", "/model", "--trainer", name]);
    expect(peer!.command).toBe("/env/python");
    expect(peer!.args.slice(1, 3)).toEqual(["--checkpoint", "/model"]);
  });

  test("there is a script for each side", () => {
    const [ours, peer] = group!.specs;
    const own = ours!.args[0]!.replace("/built/", join(root, "bench", "ours/")).replace(/js$/, "ts");
    expect([own, peer!.args[0]!].filter((file) => !existsSync(file))).toEqual([]);
  });

  test("floors are of what is measured", () => {
    const measured = group!.specs.map((spec) => spec.name);
    for (const { task, peer } of benchmark.floors) {
      expect(task).toBe(group!.task);
      expect(measured).toContain(peer);
    }
  });

  test("without Python ours runs alone", () => {
    const [alone] = benchmark.groups({ ...setting, python: undefined });
    expect(alone!.specs.map((spec) => spec.name)).toEqual(["ours"]);
  });
});

test("speed and memory are asked where TRL has the trainer", () => {
  const bounds = trainerNames.map((name) =>
    trainerBenchmark(name).floors.map(({ measure, bound }) => [measure, bound]),
  );
  const memory = ["memory", 0.6];
  expect(bounds).toEqual([[["speed", 2.5], memory], [["speed", 2.2], memory], [["speed", 3], memory], []]);
});
