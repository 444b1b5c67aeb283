/**
 * Teaches the demo's model to find translations: CRAFT on a handful of sentences, and before and after it the nearest
 * Spanish sentence to each English one, by the model's own hidden states.
 *
 *   npx tsx examples/find_translations.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CRAFTCollator, CRAFTSFTConfig, CRAFTSFTTrainer, pool } from "contrastive-ft/craft";
import { retrieval } from "contrastive-ft/evaluation";
import { AutoModelForCausalLM, type CausalLM } from "contrastive-ft/models";
import { compile, HostTensor, type Tensor } from "contrastive-ft/tensor";
import { AutoTokenizer } from "contrastive-ft/text";

const pairs = [
  { en: "The cat sleeps.", es: "El gato duerme." },
  { en: "The dog barks.", es: "El perro ladra." },
  { en: "It is raining today.", es: "Hoy llueve." },
  { en: "Where is the station?", es: "¿Dónde está la estación?" },
  { en: "I would like some bread.", es: "Quisiera un poco de pan." },
  { en: "We live in a small house.", es: "Vivimos en una casa pequeña." },
  { en: "She reads a long book.", es: "Ella lee un libro largo." },
  { en: "The train leaves at noon.", es: "El tren sale al mediodía." },
];

const folder = join(
  dirname(fileURLToPath(import.meta.resolve("contrastive-ft/package.json"))),
  "assets/demo",
);
const tokenizer = await AutoTokenizer.fromPretrained(folder);
const model = await AutoModelForCausalLM.fromPretrained(folder, { dtype: "float32" });

/** One vector for each text: the hidden state of its last token. */
async function embed(texts: readonly string[], of: CausalLM): Promise<Float32Array[]> {
  const rows = texts.map((text) => ({ input_ids: tokenizer.encode(`${text}<|endoftext|>`) }));
  const { inputIds, attentionMask, shape } = new CRAFTCollator().collateSft(rows);
  const program = compile((ids: Tensor, mask: Tensor) => pool(of.hiddenStates(ids), mask, "last_token"));
  const vectors = await program(
    new HostTensor(inputIds, shape, "int64"),
    new HostTensor(attentionMask, shape, "int64"),
  );
  const [numbers, size] = [vectors.toNumbers(), vectors.shape[1]!];
  vectors.dispose();
  program.dispose();
  return texts.map((_, i) => Float32Array.from(numbers.slice(i * size, (i + 1) * size)));
}

async function report(when: string): Promise<number> {
  const english = await embed(
    pairs.map(({ en }) => en),
    model,
  );
  const spanish = await embed(
    pairs.map(({ es }) => es),
    model,
  );
  const found = retrieval(english, spanish, { recallAt: [1] }).recall.get(1)!;
  console.log(`${when}: the nearest sentence is the translation for ${Math.round(100 * found)} % of them`);
  return found;
}

const outputDir = mkdtempSync(join(tmpdir(), "craft-example-"));
try {
  const before = await report("before");
  const trainer = new CRAFTSFTTrainer({
    model,
    tokenizer,
    args: new CRAFTSFTConfig({
      outputDir,
      maxSteps: 40,
      perDeviceTrainBatchSize: 8,
      learningRate: 1e-3,
      craftAlpha: 0.5,
      craftProjectionDim: null,
      saveStrategy: "no",
      disableTqdm: true,
    }),
    trainDataset: pairs.map(({ en, es }) => ({ prompt: en, completion: es })),
    contrastiveDataset: pairs,
    contrastiveColumns: { anchor: "en", positive: "es" },
  });
  await trainer.train();
  const after = await report("after");
  if (after < 1 || after <= before) throw new Error("the model did not learn the pairs");
} finally {
  rmSync(outputDir, { recursive: true, force: true });
}
