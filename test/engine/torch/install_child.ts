/** @file Installs libtorch into the cache named by CRAFT_CACHE, in a process that a test may kill. */
import { installLibtorch } from "../../../src/torch/install.js";

let last = "";
const { libDir } = await installLibtorch({
  onProgress: ({ stage }) => {
    if (stage !== last) process.stdout.write(`${(last = stage)}\n`);
  },
});
process.stdout.write(`${libDir}\n`);
