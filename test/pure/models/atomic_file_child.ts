/** @file Writes two files, the second larger than a test allows, in a process that has lost its privileges. */
import { stageFiles, stageFile, commitFiles } from "../../../src/models/atomic_file.js";

const [first, second, third] = process.argv.slice(2);
// An administrator may write anywhere; nobody may not.
if (third === "nobody" && process.getuid?.() === 0) {
  process.setgid?.(65_534);
  process.setuid?.(65_534);
}
const chunk = new Uint8Array(1 << 16);
try {
  commitFiles(
    stageFiles([
      () => stageFile(first!, (file) => file.write(chunk)),
      () =>
        stageFile(second!, (file) => {
          for (let i = 0; i < 100; i++) file.write(chunk);
        }),
    ]),
  );
  process.stdout.write("written");
} catch (error) {
  process.stdout.write(String(error));
}
