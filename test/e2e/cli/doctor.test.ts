/** @file `craft doctor` of the built command, with a libtorch and without. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { craft, newFolder, onlyObject } from "./craft.js";

describe("craft doctor", () => {
  it("prints one object with version, path, rule, places, threads, features, dtype, disk and memory", async () => {
    const { code, stdout } = await craft(["doctor", "--json"]);
    const report = onlyObject(stdout);
    expect(code).toBe(0);
    expect(report["ok"]).toBe(true);
    expect(report["version"]).toMatch(/^2\.1[0-3]\.\d+/);
    expect(["environment", "cache", "python"]).toContain(report["rule"]);
    for (const name of [
      "path",
      "attempts",
      "threads",
      "processor",
      "dtype",
      "dtype_reason",
      "disk",
      "memory",
    ])
      expect(report, name).toHaveProperty(name);
    expect(report["problems"]).toEqual([]);
  });

  it("tells what is wrong with a folder that holds no libtorch, and ends with 1", async () => {
    const folder = newFolder();
    mkdirSync(join(folder, "lib"));
    const { code, stdout } = await craft(["doctor", "--json"], { env: { CRAFT_LIBTORCH: folder } });
    const report = onlyObject(stdout);
    expect(code).toBe(1);
    expect(report["ok"]).toBe(false);
    expect(report["version"]).toBeNull();
    expect(JSON.stringify(report["problems"])).toContain(folder);
  });
});
