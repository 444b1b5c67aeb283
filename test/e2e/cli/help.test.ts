/** @file What the command says of itself, and that it says so without loading what it does not need. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { craft, newFolder, root } from "./craft.js";

const commands = ["demo", "sft", "generate", "eval", "tokenize", "merge", "inspect", "install", "doctor"];

describe("craft --help", () => {
  it("lists every command", async () => {
    const { code, stdout, stderr } = await craft(["--help"]);
    expect(code).toBe(0);
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    expect(stderr).toBe("");
  });

  it("loads nothing of this package but the command line itself, and of others commander alone", async () => {
    const folder = newFolder();
    await craft(["--help"], { env: { NODE_V8_COVERAGE: folder } });
    const loaded = readdirSync(folder).flatMap((name) => {
      const { result } = JSON.parse(readFileSync(join(folder, name), "utf8")) as {
        result: { url: string }[];
      };
      return result.map(({ url }) => url).filter((url) => url.startsWith("file:"));
    });
    const strangers = loaded.filter(
      (url) => !/\/(bin\/craft\.js|dist\/cli\/main\.js|node_modules\/commander\/.*)$/.test(url),
    );
    expect(loaded.some((url) => url.endsWith("/dist/cli/main.js"))).toBe(true);
    expect(strangers).toEqual([]);
  });

  it.each(commands)("describes the options of %s", async (name) => {
    const { code, stdout } = await craft([name, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: craft ${name}`);
    expect(stdout).toContain("--json");
  });
});

describe("craft", () => {
  it("prints the version of the package", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    expect((await craft(["--version"])).stdout).toBe(`${version}\n`);
  });

  it("refuses an unknown command and names help", async () => {
    const { code, stdout, stderr } = await craft(["trian"]);
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/unknown command 'trian'/);
    expect(stderr).toContain("--help");
  });
});
