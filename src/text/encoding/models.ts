import { Bpe } from "./bpe.js";
import type { ModelConfig } from "./config.js";
import type { Model, Word } from "./model.js";
import { Vocabulary } from "./model.js";
import { Unigram } from "./unigram.js";

/** Each word is a token, or the unknown one. */
class WordLevel implements Model {
  readonly vocabulary: Vocabulary;
  private readonly unknown: number | undefined;

  constructor(config: Extract<ModelConfig, { type: "WordLevel" }>) {
    this.vocabulary = new Vocabulary(Object.entries(config.vocab));
    this.unknown = this.vocabulary.id(config.unk_token);
  }

  encode(word: string): Word {
    const id = this.vocabulary.id(word) ?? this.unknown;
    return id === undefined
      ? { ids: [], starts: [], ends: [] }
      : { ids: [id], starts: [0], ends: [word.length] };
  }
}

export function makeModel(config: ModelConfig): Model {
  switch (config.type) {
    case "BPE":
      return new Bpe(config);
    case "WordLevel":
      return new WordLevel(config);
    case "Unigram":
      return new Unigram(config);
  }
}
