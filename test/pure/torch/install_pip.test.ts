import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { installLibtorch } from "../../../src/torch/install.js";
import { pipDownload } from "../../../src/torch/pip.js";
import { wheelTarget } from "../../../src/torch/wheel_names.js";
import {
  addProgram,
  emptyEnvironment,
  fakeWheel,
  temporaryFolder,
  type EmptyEnvironment,
} from "./install_fakes.js";

const wheel = wheelTarget("2.12.0", "linux", "x64");

interface FakePip {
  readonly env: EmptyEnvironment;
  readonly target: string;
  /** The command lines that pip was called with, without `-m pip`. */
  readonly calls: () => string[];
}

/** A python3 whose pip prints `config`, and runs `script` for a download, with $dest set to the wanted folder. */
function fakePip(config: string, script: string): FakePip {
  const folder = temporaryFolder();
  const env = emptyEnvironment(folder);
  const [log, target] = [join(folder, "log"), join(folder, "wheels")];
  mkdirSync(target);
  writeFileSync(log, "");
  writeFileSync(join(folder, "config"), config);
  addProgram(
    env,
    "python3",
    `PATH=/usr/bin:/bin
     [ "$1 $2" = "-m pip" ] || exit 1
     shift 2; echo "$@" >> '${log}'
     if [ "$1" = config ]; then cat '${folder}/config'; exit 0; fi
     while [ $# -gt 0 ]; do case "$1" in --dest) dest="$2";; --python-version) python="$2";; --no-index) noindex=1;; esac; shift; done
     ${script}`,
  );
  return { env, target, calls: () => readFileSync(log, "utf8").trim().split("\n") };
}

const notFound = "echo 'ERROR: No matching distribution found for torch' >&2; exit 1";

describe.runIf(process.platform === "linux")("pip", () => {
  it("is asked for the exact build, from folders of wheels without any index", async () => {
    const { env, target, calls } = fakePip(":env:.find-links='/wheels'", `: > "$dest/torch.whl"`);
    expect(await pipDownload(wheel, target, env)).toEqual({ path: join(target, "torch.whl") });
    const [config, download, ...more] = calls();
    expect(config).toBe("config list");
    expect(more).toEqual([]);
    for (const part of [
      "download --no-deps --only-binary=:all:",
      "--implementation cp --python-version 3.11 --abi cp311",
      "--platform manylinux_2_28_x86_64",
      "--no-index",
    ]) {
      expect(download).toContain(part);
    }
    expect(download).toMatch(/ torch==2\.12\.0\+cpu$/);
  });

  it("may bring the wheel for another Python", async () => {
    const script = `[ "$python" = 3.13 ] || { ${notFound}; }; : > "$dest/torch.whl"`;
    const { env, target, calls } = fakePip("global.find-links='/wheels'", script);
    expect(await pipDownload(wheel, target, env)).toHaveProperty("path");
    expect(calls().at(-1)).toContain("--python-version 3.13 --abi cp313");
  });

  it("asks an index only after the folders, and only one that the user configured", async () => {
    const config = "global.find-links='/wheels'\nglobal.index-url='https://mirror'";
    const { env, target, calls } = fakePip(
      config,
      `[ -z "$noindex" ] || { ${notFound}; }; : > "$dest/torch.whl"`,
    );
    expect(await pipDownload(wheel, target, env)).toHaveProperty("path");
    expect(calls().at(-1)).toContain("--retries 1 --timeout 15");
    expect(calls().at(-1)).not.toContain("--no-index");
  });

  it("leaves the user's own patience alone", async () => {
    const config = ":env:.index-url='https://mirror'\n:env:.default-timeout='180'\nglobal.retries='9'";
    const { env, target, calls } = fakePip(config, `: > "$dest/torch.whl"`);
    await pipDownload(wheel, target, env);
    expect(calls().at(-1)).not.toMatch(/--retries|--timeout/);
  });

  it("is not asked when it could not have a CPU build", async () => {
    const { env, target, calls } = fakePip("global.cert='/x'", notFound);
    expect(await pipDownload(wheel, target, env)).toMatch(/not configured with an index/);
    expect(calls()).toEqual(["config list"]);
  });

  it("is told to stay off the network when the user said so", async () => {
    const { env, target, calls } = fakePip(
      "global.no-index='true'\nglobal.extra-index-url='https://m'",
      notFound,
    );
    await pipDownload(wheel, target, env);
    expect(calls()).toEqual(["config list"]);
  });

  it("is quoted when it fails, and not asked again for what would fail again", async () => {
    const script = "echo 'WARNING: x' >&2; echo 'ERROR: certificate has expired' >&2; exit 1";
    const { env, target, calls } = fakePip("global.find-links='/wheels'", script);
    expect(await pipDownload(wheel, target, env)).toBe("certificate has expired");
    expect(calls()).toHaveLength(2);
  });

  it("brings what installLibtorch unpacks", async () => {
    const given = join(temporaryFolder(), wheelTarget("2.12.0").fileName);
    writeFileSync(given, fakeWheel());
    const { env } = fakePip("global.find-links='/wheels'", `cp '${given}' "$dest/"`);
    const location = await installLibtorch(
      { version: "2.12.0", env },
      { verify: async () => ({ ok: true, version: "2.12.0", threads: 1 }), freeBytes: async () => 1e12 },
    );
    expect(location.attempts.at(-1)?.outcome).toContain("installed from pip download torch==2.12.0+cpu");
    expect(readdirSync(env.CRAFT_CACHE).sort()).toEqual(["libtorch-2.12.0-cpu", "verified"]);
    expect(basename(given)).toMatch(/^torch-2\.12\.0/);
  });
});
