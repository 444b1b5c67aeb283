/** @file A temporary project for one document, in which `contrastive-ft` is this package as it is built. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { spawn } from "node:child_process";

export interface Outcome {
  readonly code: number | null;
  /** Standard output and standard error as they came. */
  readonly output: string;
}

/** How long one block may take, in milliseconds. */
const limit = 180_000;

export class Workspace {
  readonly folder: string;

  constructor(root: string) {
    this.folder = mkdtempSync(join(tmpdir(), "craft-docs-"));
    this.write("package.json", '{ "private": true, "type": "module" }\n');
    this.write("node_modules/.bin/craft", `#!/bin/sh\nexec node "${join(root, "bin/craft.js")}" "$@"\n`);
    chmodSync(join(this.folder, "node_modules/.bin/craft"), 0o755);
    symlinkSync(root, join(this.folder, "node_modules/contrastive-ft"), "dir");
    symlinkSync(join(root, "node_modules/@types"), join(this.folder, "node_modules/@types"), "dir");
  }

  write(name: string, content: string): string {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  /** Runs a program in the folder. What it and its children have started ends with it. */
  run(program: string, args: readonly string[]): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const PATH = `${join(this.folder, "node_modules/.bin")}${delimiter}${process.env["PATH"] ?? ""}`;
      // The models in the documentation are too small for two threads to help.
      const env: NodeJS.ProcessEnv = { ...process.env, PATH, OMP_NUM_THREADS: "1" };
      const child = spawn(program, args, {
        cwd: this.folder,
        env,
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
      });
      let output = "";
      const hear = (text: string): void => void (output += text);
      child.stdout.setEncoding("utf8").on("data", hear);
      child.stderr.setEncoding("utf8").on("data", hear);
      const timer = setTimeout(() => {
        hear(`\nstopped after ${limit / 1000} s\n`);
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      }, limit);
      child.on("error", reject);
      child.on("close", (code) => {
        clearTimeout(timer);
        resolve({ code, output });
      });
    });
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
