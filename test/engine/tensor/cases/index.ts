import { attentionCases } from "./attention.js";
import type { OpCase } from "./case.js";
import { elementwiseCases } from "./elementwise.js";
import { indexCases } from "./index_select.js";
import { matmulCases } from "./matmul.js";
import { packedCases } from "./packed.js";
import { randomCases } from "./random.js";
import { reduceCases } from "./reduce.js";
import { shapeCases } from "./shape.js";
import { softmaxCases } from "./softmax.js";
import { structuralCases } from "./structural.js";

/** The table: every public function of tensors at least once. One fixture file for each family. */
export const families: Readonly<Record<string, readonly OpCase[]>> = {
  elementwise: elementwiseCases,
  shape: shapeCases,
  reduce: reduceCases,
  index_select: indexCases,
  matmul: matmulCases,
  packed: packedCases,
  softmax: softmaxCases,
  attention: attentionCases,
  random: randomCases,
  structural: structuralCases,
};

export const allCases: readonly OpCase[] = Object.values(families).flat();

/** What `parity/ops.py` needs to know, as JSON. */
export const manifest = (): string =>
  JSON.stringify(
    Object.fromEntries(
      Object.entries(families).map(([family, cases]) => [
        family,
        cases.map(({ id, inputs, python, dtypes }) => ({ id, inputs, python, dtypes })),
      ]),
    ),
  );
