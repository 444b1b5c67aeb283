// The package's own declarations leave out file extensions, so that they do not resolve here. This is what is used of it.
declare module "@huggingface/tokenizers" {
  export class SplitPreTokenizer {
    constructor(config: { type: "Split"; pattern: { Regex: string }; behavior: "Isolated" });
    /** The translated expression, global and Unicode-aware. */
    readonly pattern: RegExp | null;
  }
}
