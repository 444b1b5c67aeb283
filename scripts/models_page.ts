/**
 * @file Writes docs/models.md from the architectures' files and their tests.
 *
 * Run from the project root: npx tsx scripts/models_page.ts
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import { supportedModelTypes } from "../src/models/architectures.js";
import { refusals } from "../test/engine/models/architecture_refusals.js";

const root = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** What the first comment of a source file says of it. */
function fileComment(path: string): string {
  const comment = /\/\*\*[\s*]*@file ([\s\S]*?)\*\//.exec(read(path))?.[1];
  if (comment === undefined) throw new Error(`${path} does not begin with a comment that says what it is`);
  return comment.replace(/\s*\n \*? ?/g, " ").trim();
}

interface Cases {
  readonly architectures: Readonly<Record<string, { readonly variants: Readonly<Record<string, object>> }>>;
}
interface LlamaCases {
  readonly cases: readonly { readonly name: string }[];
}

/** Settings beside those of the checkpoint whose logits are compared too, by architecture. */
function variants(): ReadonlyMap<string, readonly string[]> {
  const { architectures } = JSON.parse(read("test/fixtures/architectures/cases.json")) as Cases;
  const { cases } = JSON.parse(read("test/fixtures/llama/cases.json")) as LlamaCases;
  const own = Object.entries(architectures).map(
    ([name, found]) => [name, Object.entries(found.variants).map(describeVariant)] as const,
  );
  return new Map([...own, ["llama", cases.map(({ name }) => name)]]);
}

const suites = {
  numbers: "test/engine/models/architectures.test.ts",
  files: "test/engine/models/architecture_files.test.ts",
  adapters: "test/engine/models/architecture_adapters.test.ts",
} as const;

/** The name of a variant and the fields that make it. */
const describeVariant = ([name, fields]: readonly [string, object]): string =>
  `${name} (${Object.keys(fields)
    .map((key) => `\`${key}\``)
    .join(", ")})`;

/** What holds for every architecture, and the title of the test that proves it. */
const claims: readonly (readonly [claim: string, suite: keyof typeof suites, title: string])[] = [
  [
    "Logits within 5e-5 and the gradient of every parameter within 2e-4 of the largest, in float32",
    "numbers",
    "gives logits, loss and the gradient of every parameter as transformers does",
  ],
  [
    "The same with padding on the left, and with weights packed for generation",
    "numbers",
    "gives the same logits with padding on the left, and with packed weights",
  ],
  ["Further settings of config.json, listed above", "numbers", "variant: %s"],
  [
    "The same 32 greedy tokens, for prompts alone and in a padded batch",
    "numbers",
    "continues prompts as transformers does, alone and padded in a batch",
  ],
  [
    "Several documents in a row do not see each other",
    "numbers",
    "keeps documents in one row apart, and computes only what is asked for",
  ],
  [
    "A beginning that several texts share is computed once for all of them",
    "numbers",
    "computes a beginning once for the texts that share it",
  ],
  [
    "Continuations that outgrow the length from which LongRoPE has other factors (`phi3`)",
    "numbers",
    "continues prompts as transformers does, alone, in a batch, and several times over",
  ],
  [
    "Saved weights and config.json are transformers' own, byte for byte",
    "files",
    "is saved byte for byte as transformers saves it",
  ],
  [
    "`generation_config.json` is read and written: end-of-sequence tokens, defaults of sampling",
    "files",
    "keeps generation_config.json, and what it says of tokens and sampling",
  ],
  ["Sharded checkpoints", "files", "is saved and loaded in shards, and refused without one of them"],
  ["bfloat16", "files", "computes in bfloat16 what it computes in float32, nearly"],
  ["New models from a config alone", "files", "is made at random from its config alone"],
  [
    "Adapters that PEFT made for all linear layers give PEFT's logits, apart and merged",
    "adapters",
    "gives PEFT's logits with an adapter on all linear layers, apart and merged into packed weights",
  ],
];

function claimRows(): string {
  return claims
    .map(([claim, suite, title]) => {
      if (!read(suites[suite]).includes(JSON.stringify(title)))
        throw new Error(`${suites[suite]} has no test "${title}"`);
      return `| ${claim} | \`${suites[suite]}\`: ${title} |`;
    })
    .join("\n");
}

function architectureRows(): string {
  const tested = variants();
  return supportedModelTypes
    .map((type) => {
      const file = type === "llama" ? "src/models/llama.ts" : `src/models/${type}.ts`;
      return `| \`${type}\` | ${fileComment(file)} | ${(tested.get(type) ?? []).join("; ") || "none"} |`;
    })
    .join("\n");
}

function refusalRows(): string {
  const byType = new Map<string, string[]>();
  for (const [type, fields] of refusals) {
    const text = Object.entries(fields)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => `\`${key}: ${JSON.stringify(value)}\``)
      .join(", ");
    byType.set(type, [...(byType.get(type) ?? []), text]);
  }
  return [...byType].map(([type, texts]) => `| \`${type}\` | ${texts.join("; ")} |`).join("\n");
}

/** The text of docs/models.md. */
export async function modelsPage(): Promise<string> {
  const text = `# Models

This page is written by \`scripts/models_page.ts\` from the architectures and their tests; \`test/pure/docs/models_page.test.ts\` fails where it is out of date.

- [Architectures](#architectures)
- [What is tested of each](#what-is-tested-of-each)
- [Rotary positions](#rotary-positions)
- [What is refused](#what-is-refused)
- [What to know](#what-to-know)

## Architectures

\`AutoModelForCausalLM.fromPretrained\` chooses by \`model_type\` in config.json. Fields that are absent have the defaults of transformers' configs.

| \`model_type\` | what it is | settings tested beside the checkpoint's own |
| --- | --- | --- |
${architectureRows()}

## What is tested of each

Against transformers, with a tiny random checkpoint of each that it wrote (\`parity/architectures.py\`); Llama's own tests are in \`test/engine/models/llama.test.ts\` and \`test/engine/models/llama_files.test.ts\`. The checkpoints have what is special about an architecture: windows shorter than the text, layers with and without one, soft caps that bite, heads rotated in part, layers without positions.

| claim | test |
| --- | --- |
${claimRows()}

## Rotary positions

Read from \`rope_theta\` and \`rope_scaling\` (transformers 4) or \`rope_parameters\` (5): \`default\`, \`linear\`, \`dynamic\`, \`llama3\`, \`yarn\` and \`longrope\`, over whole heads or, in \`phi3\` and \`gpt_neox\`, over a part of each. \`dynamic\` and \`longrope\` turn by the length of a text; beyond the trained length they are refused for rows that hold several texts.

## What is refused

Any other \`model_type\`, quantised checkpoints of unknown kinds, activations other than SiLU and GELU, and what would change the numbers without being computed here. The message names file, field and value, and what would be accepted. \`${suites.files}\` tests these:

| checkpoint | refused |
| --- | --- |
${refusalRows()}

## What to know

- Of \`gemma3\` the text part is loaded; \`model.leftOut\` says so, and a model that is saved is a \`gemma3_text\` one. Adapters have the names of the whole model, so that Python's PEFT attaches them to it.
- Where a text outgrows the length from which LongRoPE has other factors, generation reads it again from its beginning. That is what transformers computes without a cache; with one, version 5.18 reads its last token alone there. Beam search across that length is refused.
- GPT-2 has learnt its positions: a row that is longer than \`n_positions\` is refused. Other models compute beyond \`max_position_embeddings\`, and training says how many rows are that long.
- Dropout that a config names (\`attn_pdrop\`, \`resid_pdrop\`, \`embd_pdrop\`, \`attention_dropout\`, \`hidden_dropout\`) acts in training, as in transformers.
- A loss over \`model.headWeight()\` passes \`softcap: model.logitSoftcap\` to \`tokenLoss\`; Gemma 2 has a soft cap.
- The residual stream, norms and rotations are float32 whatever the model's dtype is.
`;
  return format(text, { parser: "markdown", proseWrap: "preserve", printWidth: 110 });
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(join(root, "docs/models.md"), await modelsPage());
