/** @file What of a message must survive its translation as it is: placeholders and quoted names. */

const literal = /\{\d+\}|(?<![\p{L}\p{N}])(['"`])((?:(?!\1).)+)\1(?![\p{L}\p{N}])/gu;
const placeholder = /\{\d+\}/gu;

/**
 * The placeholders (`{0}`) and quoted names (`'export'`, with their quotes) of a text, in their order, repeated where
 * they are repeated. What is quoted and holds placeholders counts as these.
 */
export function literalsOf(text: string): string[] {
  return [...text.matchAll(literal)].flatMap(([found]) => {
    const placeholders = found.match(placeholder);
    return placeholders ?? [found];
  });
}

export interface Survival {
  /** Literals of the source. */
  readonly wanted: number;
  /** Of these, how many stand in the output, each as often as in the source at most. */
  readonly kept: number;
  /** Literals of the output that are not the source's, or stand there too often. */
  readonly invented: number;
}

/** @param output a translation of `source` */
export function survival(source: string, output: string): Survival {
  const wanted = literalsOf(source);
  const found = literalsOf(output);
  const left = [...found];
  let kept = 0;
  for (const one of wanted) {
    const at = left.indexOf(one);
    if (at < 0) continue;
    left.splice(at, 1);
    kept++;
  }
  return { wanted: wanted.length, kept, invented: left.length };
}

/**
 * What GRPO and PPO learn from: the share of the literals of source and output that stand in both, 0 to 1. Without what
 * is invented in the divisor, an output that lists all literals there are would earn most. 1 where neither has any.
 */
export function survivalReward(source: string, output: string): number {
  const { wanted, kept, invented } = survival(source, output);
  return wanted + invented === 0 ? 1 : kept / (wanted + invented);
}
