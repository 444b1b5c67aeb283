import { spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  commitFiles,
  makeFolder,
  stageFile,
  stageFiles,
  writeFileAtomically,
} from "../../../src/models/atomic_file.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "craft-atomic-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function emptyFolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}
const contents = (path: string): Record<string, string> =>
  Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name), "utf8")]));

describe("files written whole or not at all", () => {
  it("replace what was there", () => {
    const path = emptyFolder("replace");
    writeFileAtomically(join(path, "a"), "old");
    writeFileAtomically(join(path, "a"), "new");
    writeFileAtomically(join(path, "b"), new Uint8Array([104, 105]));
    expect(contents(path)).toEqual({ a: "new", b: "hi" });
  });

  it("replace a link, not what it points to", () => {
    const path = emptyFolder("link");
    writeFileSync(join(path, "target"), "precious");
    symlinkSync(join(path, "target"), join(path, "a"));
    writeFileAtomically(join(path, "a"), "new");
    expect(contents(path)).toEqual({ a: "new", target: "precious" });
  });

  it("leave the old content and nothing else if writing fails", () => {
    const path = emptyFolder("failure");
    writeFileSync(join(path, "a"), "old");
    const stage = (name: string, fail: boolean) => () =>
      stageFile(join(path, name), (file) => {
        file.write(Buffer.from("new"));
        expect(readFileSync(join(path, "a"), "utf8")).toBe("old");
        if (fail) throw new Error("out of tensors");
      });
    expect(() => stageFiles([stage("a", false), stage("b", true)])).toThrow("out of tensors");
    expect(contents(path)).toEqual({ a: "old" });
    commitFiles(stageFiles([stage("a", false), stage("b", false)]));
    expect(contents(path)).toEqual({ a: "new", b: "new" });
  });

  it("leave nothing behind if a name cannot be given", () => {
    const path = emptyFolder("rename");
    mkdirSync(join(path, "b"));
    writeFileSync(join(path, "b", "kept"), "");
    const stage = (name: string) => () =>
      stageFile(join(path, name), (file) => file.write(Buffer.from("new")));
    expect(() => commitFiles(stageFiles([stage("b"), stage("c")]))).toThrow(
      `${join(path, "b")}: cannot write:`,
    );
    expect(readdirSync(path)).toEqual(["b"]);
  });

  it("name the path and the remedy", () => {
    const path = emptyFolder("messages");
    writeFileSync(join(path, "file"), "");
    expect(() => writeFileAtomically(join(path, "file", "a"), "")).toThrow(
      `${join(path, "file", "a")}: cannot write: a part of the path is a file, not a folder. Check the path.`,
    );
    expect(() => writeFileAtomically(join(path, "nowhere", "a"), "")).toThrow(
      `${join(path, "nowhere", "a")}: cannot write: there is no such file or folder. Check the path.`,
    );
    expect(() => makeFolder(join(path, "file"))).toThrow(
      `${join(path, "file")}: cannot write: is a file, not a folder. Choose another path.`,
    );
  });

  /** What a child process prints that writes into `path`, after a shell command. */
  function child(command: string, path: string, user: string): string {
    const script = join(import.meta.dirname, "atomic_file_child.ts");
    const args = ["--import", "tsx", script, join(path, "first"), join(path, "second"), user];
    const options = { encoding: "utf8", env: { ...process.env, TSX_DISABLE_CACHE: "1" } } as const;
    return spawnSync("sh", ["-c", `${command}; exec "$0" "$@"`, process.execPath, ...args], options).stdout;
  }

  it.skipIf(process.platform === "win32")("survive a disk that takes no more", () => {
    const path = emptyFolder("full");
    writeFileSync(join(path, "second"), "old");
    // With the signal ignored, a write beyond the limit (in blocks of 512 or 1024 bytes) fails as on a full disk.
    expect(child('trap "" XFSZ; ulimit -f 1000', path, "self")).toBe(
      `CraftError: ${join(path, "second")}: cannot write: the file would be larger than this user may write. ` +
        "Raise the limit (ulimit -f), or use another disk; what was saved before is unchanged.",
    );
    expect(contents(path)).toEqual({ second: "old" });
    expect(child("true", path, "self")).toBe("written");
  });

  it.skipIf(process.platform === "win32")("are not begun in a folder that is not ours", () => {
    const path = emptyFolder("foreign");
    chmodSync(path, 0o555);
    expect(child("true", path, "nobody")).toBe(
      `CraftError: ${join(path, "first")}: cannot write: this user may not do that. ` +
        "Change the permissions, or choose another path.",
    );
    chmodSync(path, 0o755);
    expect(contents(path)).toEqual({});
  });
});
