/** @file The built package, as users run it, and our sides of the benchmark as plain JavaScript on top of it. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { CraftError } from "../src/errors.js";

export const root = fileURLToPath(new URL("..", import.meta.url));

const isSource = (name: string): boolean => name.endsWith(".ts");

/** Runs the build unless `dist/` is newer than all sources. */
export function buildIfStale(): void {
  const built = statSync(join(root, "dist", "index.js"), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter(isSource);
  if (sources.every((name) => statSync(join(root, "src", name)).mtimeMs < built)) return;
  process.stderr.write("building the package\n");
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const { status } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status === 0) return;
  throw new CraftError({ subject: "npm run build", value: status, reason: "did not succeed" });
}

/** Scripts of ours/ that plain Node can run. They import the package by the files that its exports name. */
export interface BuiltScripts {
  path(name: string): string;
  dispose(): void;
}

/** Translates ours/ into a temporary folder. Types are taken off; nothing else is done that Node would not do. */
export function buildScripts(): BuiltScripts {
  const folder = mkdtempSync(join(tmpdir(), "craft-bench-"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  const own = readdirSync(join(root, "bench", "ours")).filter(isSource);
  for (const name of ["workload.ts", ...own.map((script) => join("ours", script))]) {
    const source = readFileSync(join(root, "bench", name), "utf8");
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        verbatimModuleSyntax: true,
      },
    });
    const target = join(folder, name.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, outputText.replace(/"\.\.\/\.\.\/src\/(?:(\w+)\/)?index\.js"/g, exported));
  }
  return {
    path: (name) => join(folder, "ours", `${name}.js`),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The file that the package's exports give for an area, as an import specifier. */
function exported(_specifier: string, area: string | undefined): string {
  return JSON.stringify(
    import.meta.resolve(area === undefined ? "contrastive-ft" : `contrastive-ft/${area}`),
  );
}
