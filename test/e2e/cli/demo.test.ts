/** @file What the demo refuses, before anything is trained. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { craft, newFolder } from "./craft.js";

describe("craft demo", () => {
  it.each([
    [["--preset", "minimal,fast"], /--preset = fast.*"balanced".*"all"/],
    [["--preset", "minimal", "--preset", "minimal"], /--preset.*names minimal twice/],
    [["--strategy", "self-align"], /--strategy.*"self_align"/],
    [["--preset", "all", "--markdown", "none.md"], /--markdown.*none\.md.*no such file/],
    [["--steps", "0"], /--steps.*from 1 on/],
    [["--to", "la"], /--to = la/],
    [["bpo"], /craft demo = bpo.*"dpo".*"ppo"/],
    [["dpo", "--preset", "all"], /--preset.* is an option of the demo without dpo/],
    [["grpo", "--strategy", "self_align"], /--strategy: is an option of the demo without grpo/],
    [["--sft-steps", "9"], /--sft-steps: is an option of the demo of a method/],
  ])("refuses %j", async (args, expected) => {
    const cwd = newFolder();
    const { code, stdout, stderr } = await craft(["demo", "--json", ...args], { cwd });
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(existsSync(join(cwd, "report.html"))).toBe(false);
  });
});
