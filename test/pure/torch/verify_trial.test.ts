import { existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { requiredLibraries } from "../../../src/torch/library_files.js";
import { forgetVerified, rememberVerified, wasVerified } from "../../../src/torch/verified.js";
import { verifyLibtorch } from "../../../src/torch/verify.js";
import { addTorchPackage, temporaryFolder } from "./install_fakes.js";

const [c10 = "", torchCpu = ""] = requiredLibraries();

it("a library that is missing is named", async () => {
  const libDir = join(addTorchPackage(temporaryFolder(), "2.13.0"), "lib");
  rmSync(join(libDir, torchCpu));
  expect(await verifyLibtorch(libDir)).toEqual({
    ok: false,
    reason: `${join(libDir, torchCpu)} does not exist`,
  });
});

it("a file that is no library fails with the loader's own words", async () => {
  const libDir = join(addTorchPackage(temporaryFolder(), "2.13.0"), "lib");
  const result = await verifyLibtorch(libDir);
  expect(result).toMatchObject({ ok: false });
  expect(result.ok ? "" : result.reason).toContain(join(libDir, c10));
});

it("a trial that takes too long is ended", async () => {
  const libDir = join(addTorchPackage(temporaryFolder(), "2.13.0"), "lib");
  const result = await verifyLibtorch(libDir, { timeoutMs: 1 });
  expect(result.ok ? "" : result.reason).toMatch(/no answer within 0\.001 s/);
});

it("the options of this process do not reach the trial", async () => {
  const libDir = join(addTorchPackage(temporaryFolder(), "2.13.0"), "lib");
  const result = await verifyLibtorch(libDir, { env: { ...process.env, NODE_OPTIONS: "--no-such-option" } });
  expect(result.ok ? "" : result.reason).toContain(c10);
});

it("a trial that was passed is remembered until a library changes", () => {
  const cache = join(temporaryFolder(), "cache");
  const libDir = join(addTorchPackage(temporaryFolder(), "2.13.0"), "lib");
  expect(wasVerified(libDir, cache)).toBe(false);
  rememberVerified(libDir, cache);
  expect(wasVerified(libDir, cache)).toBe(true);

  utimesSync(join(libDir, torchCpu), new Date(0), new Date(0));
  expect(wasVerified(libDir, cache)).toBe(false);
  rememberVerified(libDir, cache);
  writeFileSync(join(libDir, c10), "another size");
  expect(wasVerified(libDir, cache)).toBe(false);
  rememberVerified(libDir, cache);
  expect(wasVerified(libDir, cache)).toBe(true);
  forgetVerified(libDir, cache);
  expect(wasVerified(libDir, cache)).toBe(false);

  rmSync(libDir, { recursive: true });
  rememberVerified(libDir, cache);
  expect(wasVerified(libDir, cache)).toBe(false);
});

it("a cache that cannot be written costs only another trial", () => {
  const folder = temporaryFolder();
  const libDir = join(addTorchPackage(folder, "2.13.0"), "lib");
  const blocked = join(folder, "blocked");
  mkdirSync(folder, { recursive: true });
  writeFileSync(blocked, "a file where the cache should be");
  rememberVerified(libDir, blocked);
  expect(wasVerified(libDir, blocked)).toBe(false);
  expect(existsSync(join(blocked, "verified"))).toBe(false);
});
