import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { run as doctor } from "../../../src/cli/doctor.js";
import { run as install } from "../../../src/cli/install.js";
import { diagnose } from "../../../src/torch/diagnose.js";
import { requiredLibraries } from "../../../src/torch/library_files.js";
import { ensureLibtorch, locateLibtorch } from "../../../src/torch/locate.js";
import { wasVerified } from "../../../src/torch/verified.js";
import { verifyLibtorch } from "../../../src/torch/verify.js";

const folder = mkdtempSync(join(tmpdir(), "craft-install-"));
const cache = join(folder, "cache");
const { CRAFT_LIBTORCH: _named, ...rest } = process.env;
const env: NodeJS.ProcessEnv = { ...rest, CRAFT_CACHE: cache, CRAFT_LIBTORCH_USE_PYTORCH: "0" };
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function startInstalling(): { process: ChildProcess; output: () => string } {
  const script = fileURLToPath(new URL("./install_child.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  return { process: child, output: () => text };
}

const [, torchCpu = ""] = requiredLibraries();

describe.skipIf(process.env["CRAFT_LIBTORCH_INSTALL"] === "0")("a real installation", () => {
  it("that is killed is never used; the next ones, two at once, end well", { timeout: 600_000 }, async () => {
    const killed = startInstalling();
    await expect.poll(killed.output, { timeout: 300_000, interval: 5 }).toContain("unpack");
    killed.process.kill("SIGKILL");
    await once(killed.process, "close");
    expect(readdirSync(cache).some((name) => name.startsWith(".staging-"))).toBe(true);
    expect(locateLibtorch({ env })).not.toHaveProperty("libDir");

    const [first, second] = [startInstalling(), startInstalling()];
    await Promise.all([once(first.process, "close"), once(second.process, "close")]);
    expect([first.process.exitCode, second.process.exitCode]).toEqual([0, 0]);
    const libDir = join(cache, "libtorch-2.13.0-cpu", "torch", "lib");
    expect(first.output()).toContain(libDir);
    expect(second.output()).toContain(libDir);
    expect([first.output(), second.output()].filter((text) => text.includes("unpack"))).toHaveLength(1);
    expect(
      readdirSync(cache)
        .filter((name) => name !== "downloads")
        .sort(),
    ).toEqual(["libtorch-2.13.0-cpu", "verified"]);
  });

  it("is found, was tried, and needs no second trial", async () => {
    const location = await ensureLibtorch({ env });
    expect(location).toMatchObject({ rule: "cache", version: expect.stringMatching(/^2\.13\.0/) as unknown });
    expect(wasVerified(location.libDir, cache)).toBe(true);
    const diagnosis = await diagnose(env);
    expect(diagnosis).toMatchObject({ problems: [], location: { rule: "cache" } });
    expect(diagnosis.environment.threads).toBeGreaterThan(0);
  });

  it("is kept by craft install and reported by craft doctor, as one JSON object each", async () => {
    for (const [name, value] of Object.entries({ CRAFT_CACHE: cache, CRAFT_LIBTORCH: "" }))
      vi.stubEnv(name, value);
    const printed: string[] = [];
    vi.spyOn(process.stdout, "write").mockImplementation((text) => printed.push(String(text)) > 0);
    expect(await install({ json: true })).toBe(0);
    expect(await doctor({ json: true })).toBe(0);
    const [installed, report, ...more] = printed.map((line): unknown => JSON.parse(line));
    expect(more).toEqual([]);
    expect(installed).toMatchObject({
      ok: true,
      outcome: expect.stringMatching(/was there already/) as unknown,
    });
    expect(report).toMatchObject({
      ok: true,
      rule: "cache",
      dtype: expect.stringMatching(/float/) as unknown,
    });
  });

  it.runIf(process.platform === "linux")(
    "whose library is cut short is caught, by its table of sections or by the crash",
    async () => {
      const { libDir } = await ensureLibtorch({ env });
      const broken = join(folder, "torch", "lib");
      mkdirSync(broken, { recursive: true });
      for (const name of readdirSync(libDir))
        if (name !== torchCpu) copyFileSync(join(libDir, name), join(broken, name));
      const library = join(broken, torchCpu);
      cpSync(join(libDir, torchCpu), library);
      truncateSync(library, 100_000_000);
      const cut = await verifyLibtorch(broken);
      expect(cut.ok ? "" : cut.reason).toMatch(
        /libtorch_cpu\.so is cut short: 100000000 bytes of at least \d+/,
      );

      // Without a table of sections only loading it can tell, and that ends the process that does it.
      const file = openSync(library, "r+");
      writeSync(file, Buffer.alloc(8), 0, 8, 40);
      writeSync(file, Buffer.alloc(4), 0, 4, 58);
      closeSync(file);
      const crashed = await verifyLibtorch(broken);
      expect(crashed.ok ? "" : crashed.reason).toMatch(
        /it crashed with SIG(BUS|SEGV) while loading \S*libtorch_cpu\.so/,
      );
    },
  );
});
