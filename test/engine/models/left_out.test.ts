/** @file A trainer and the command line tell what of a checkpoint is left out. */
import { join } from "node:path";
import { beforeAll, expect, it, vi } from "vitest";
import { noteLeftOut } from "../../../src/cli/load_model.js";
import { loadTorch } from "../../../src/torch/torch.js";
import { SFTConfig, SFTTrainer } from "../../../src/trainers/index.js";
import { architecturesFolder, loadArchitecture } from "./architecture_fixture.js";
import { inFolder } from "./llama_fixture.js";

beforeAll(() => loadTorch());

const sentence =
  /^.*gemma3: \d+ tensors of the vision part are left out: only the text part is loaded, trained and saved$/;

it("a trainer that loads the model itself", async () => {
  await inFolder(async (outputDir) => {
    const notices: string[] = [];
    const trainer = new SFTTrainer({
      model: join(architecturesFolder, "gemma3"),
      args: new SFTConfig({
        outputDir,
        maxSteps: 1,
        disableTqdm: true,
        dtype: "float32",
        saveStrategy: "no",
      }),
      trainDataset: [{ input_ids: [4, 5, 6, 7], labels: [4, 5, 6, 7] }],
      callbacks: [{ onNotice: (text) => notices.push(text) }],
    });
    await trainer.train();
    expect(notices.filter((text) => sentence.test(text))).toHaveLength(1);
    trainer.model.dispose();
  });
});

it("the command line", async () => {
  using model = await loadArchitecture("gemma3");
  using other = await loadArchitecture("gemma2");
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  try {
    noteLeftOut("gemma3", model);
    noteLeftOut("gemma2", other);
    expect(write.mock.calls.map(([text]) => String(text).replace(/^note: |\n$/g, ""))).toEqual([
      expect.stringMatching(sentence),
    ]);
  } finally {
    write.mockRestore();
  }
});
