/** @file Models, tokenizers and adapters by path or id: which of a repository's files each needs. */
import { existsSync } from "node:fs";
import { CraftError } from "../errors.js";
import { isRepoId, parseRepo } from "./repo_id.js";
import type { HubOptions } from "./settings.js";
import { downloadSnapshot, type Choose, type Contents, type SnapshotServices } from "./snapshot.js";

/** What a folder is to be loaded as. */
export type PretrainedKind = "config" | "model" | "tokenizer" | "adapter";

const tokenizerFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];
const singleFile = "model.safetensors";
const indexFile = `${singleFile}.index.json`;

/**
 * The folder of a model, tokenizer or adapter: a path that exists is taken as it is, and wins over an id; of a
 * repository the files that are needed, and no others, are fetched into the cache.
 *
 * @throws CraftError if it is neither, or the repository does not hold such a thing.
 */
export async function pretrainedFolder(
  pathOrId: string,
  kind: PretrainedKind,
  options: HubOptions = {},
  services: SnapshotServices = {},
): Promise<string> {
  if (existsSync(pathOrId)) {
    if (options.revision === undefined) return pathOrId;
    throw new CraftError({
      subject: "revision",
      value: options.revision,
      reason: `${pathOrId} is a local folder, which has no revisions`,
      remedy: "Leave it out",
    });
  }
  // Readers name the path that does not exist and what they look for in it.
  if (!isRepoId(pathOrId)) return pathOrId;
  return downloadSnapshot(parseRepo("model", pathOrId), choices[kind], options, services);
}

const choices: Readonly<Record<PretrainedKind, Choose>> = {
  config: (contents) => {
    requireConfig(contents);
    return ["config.json"];
  },
  model: modelFiles,
  tokenizer: ({ name, paths, has }) => {
    if (paths.includes("tokenizer.json"))
      return tokenizerFiles.filter((file) => file === "tokenizer.json" || has(file));
    throw new CraftError({
      subject: name,
      reason: "has no tokenizer.json",
      remedy:
        "If its tokenizer is of another kind, load it with transformers and save it with save_pretrained, then give that folder",
    });
  },
  adapter: ({ name, paths }) => {
    const files = ["adapter_config.json", "adapter_model.safetensors"];
    const missing = files.find((file) => !paths.includes(file));
    if (missing === undefined) return files;
    throw new CraftError({
      subject: name,
      reason: `has no ${missing}${paths.includes("config.json") ? "; it holds a model, not an adapter" : ""}`,
      remedy: paths.includes("adapter_model.bin")
        ? "Load and save the adapter in Python with save_pretrained(DIR), which writes safetensors"
        : "Give the id of an adapter's repository",
    });
  },
};

/** The configuration and the weights: one safetensors file, or those that the index names. */
async function modelFiles(contents: Contents): Promise<readonly string[]> {
  requireConfig(contents);
  const { name, paths, has, read } = contents;
  const common = ["config.json", ...["generation_config.json"].filter(has)];
  if (paths.includes(singleFile)) return [...common, singleFile];
  if (paths.includes(indexFile)) return [...common, indexFile, ...shards(name, await read(indexFile))];
  const other = paths.find((path) => /\.(bin|pt|pth|ckpt|gguf|h5|msgpack|onnx|safetensors)$/.test(path));
  throw new CraftError({
    subject: name,
    reason: `has neither ${singleFile} nor ${indexFile}${other === undefined ? "" : `; ${other} is not read`}`,
    remedy:
      "Load the model with transformers and save it with save_pretrained(DIR), which writes safetensors; some repositories have such files at another revision, such as refs/pr/1",
  });
}

function shards(name: string, index: string): readonly string[] {
  try {
    const { weight_map: map } = JSON.parse(index) as { weight_map?: Record<string, unknown> };
    const files = [...new Set(Object.values(map ?? {}))].filter((file) => typeof file === "string");
    if (files.length > 0) return files.sort();
  } catch {
    // Told below.
  }
  throw new CraftError({
    subject: `${name}, ${indexFile}, weight_map`,
    reason: "is missing, empty or broken",
  });
}

function requireConfig({ name, paths }: Contents): void {
  if (paths.includes("config.json")) return;
  const isAdapter = paths.includes("adapter_config.json");
  throw new CraftError({
    subject: name,
    reason: `has no config.json${isAdapter ? "; it holds an adapter" : ""}`,
    remedy: isAdapter
      ? "Load the base model, and give this id as its adapter"
      : "Give the id of a model in transformers' format",
  });
}
