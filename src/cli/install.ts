import { installLibtorch } from "../torch/install.js";
import { progressView } from "../torch/install_progress.js";
import { locateLibtorch } from "../torch/locate.js";

export interface InstallCommand {
  /** Which release of libtorch, such as 2.13.0. */
  readonly version?: string;
  /** A wheel, its address, or a folder that holds libtorch. */
  readonly from?: string;
  readonly device?: string;
  readonly json?: boolean;
}

/** `craft install`: puts libtorch into the cache, or says that it is there already. */
export async function run(options: InstallCommand): Promise<number> {
  const { version, from, device, json = false } = options;
  const view = await progressView();
  const start = performance.now();
  const location = await installLibtorch({
    ...(version === undefined ? {} : { version }),
    ...(from === undefined ? {} : { from }),
    ...(device === undefined ? {} : { device }),
    onProgress: view.show,
  }).finally(view.stop);
  const seconds = Number(((performance.now() - start) / 1000).toFixed(2));
  const outcome = location.attempts.at(-1)?.outcome ?? "";
  if (json) {
    const { libDir, rule } = location;
    const report = {
      ok: true,
      version: location.version,
      path: libDir,
      rule,
      device: location.device,
      outcome,
      seconds,
    };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  } else {
    process.stdout.write(`${outcome}\n${location.libDir}\n`);
  }
  const used = locateLibtorch();
  if ("libDir" in used && used.libDir !== location.libDir) {
    process.stderr.write(
      `craft: runs will use ${used.libDir} (rule: ${used.rule}); ` +
        `set CRAFT_LIBTORCH=${location.libDir} to use the one just installed\n`,
    );
  }
  return 0;
}
