/** @file The micro-batches of a plain run: tensors by name. */
import type { LanguageModelingBatch } from "../../data/collator.js";
import { labelPositions } from "../../data/label_positions.js";
import { CraftError } from "../../errors.js";
import { HostTensor } from "../../tensor/index.js";
import { hasPaddingBefore, positionsWithin } from "../sft/objective.js";

/** A micro-batch: what a data collator makes of some rows, by names of its own. */
export type Inputs = Readonly<Record<string, HostTensor>>;

const int64 = (data: Int32Array, shape: readonly number[]): HostTensor =>
  new HostTensor(data, shape, "int64");

/**
 * A padded batch as inputs, int64 [rows, length]: `input_ids`, `attention_mask` and `labels`, and where rows hold several
 * documents `documents` and `position_ids`. For data collators that add something of their own.
 *
 * @example
 * const padding = new DataCollatorForLanguageModeling({ padTokenId: 0 });
 * const dataCollator = (rows: readonly MyRow[]) => ({
 *   ...languageModelingInputs(padding.collate(rows)),
 *   scores: tensor(rows.map((row) => row.score)),
 * });
 */
export function languageModelingInputs(batch: LanguageModelingBatch): Inputs {
  const { inputIds, attentionMask, labels, documents, shape } = batch;
  return {
    input_ids: int64(inputIds, shape),
    attention_mask: int64(attentionMask, shape),
    labels: int64(labels, shape),
    ...(documents && {
      documents: int64(documents, shape),
      position_ids: int64(positionsWithin(documents, shape[1]), shape),
    }),
  };
}

/** Names that {@link inputFeeds} gives. */
const derived = ["label_positions", "label_ids", "label_weights", "hiding_mask"] as const;

/**
 * The inputs with what the token loss needs to know beforehand, where they have `labels` of the shape of `input_ids`:
 * `label_positions`, `label_ids` and `label_weights` as {@link labelPositions} lists them, and `hiding_mask`, the
 * attention mask, in batches where padding stands before a token.
 */
export function inputFeeds(inputs: Inputs): Inputs {
  const { input_ids: ids, labels, attention_mask: mask, documents } = inputs;
  const [rows = 0, length = 0] = ids?.shape ?? [];
  if (ids?.shape.length !== 2) return inputs;
  const shape = [rows, length] as const;
  const attentionMask = mask === undefined ? new Int32Array(rows * length).fill(1) : integers(mask);
  const hiding = mask !== undefined && hasPaddingBefore(attentionMask, length);
  const labelled = labels?.shape.length === 2 && labels.shape[0] === rows && labels.shape[1] === length;
  const numbers = documents === undefined ? {} : { documents: integers(documents) };
  return {
    ...inputs,
    ...(labelled && labelFeeds({ labels: integers(labels), attentionMask, ...numbers, shape })),
    ...(hiding && { hiding_mask: mask }),
  };
}

function labelFeeds(batch: Parameters<typeof labelPositions>[0]): Inputs {
  const { index, target, weight } = labelPositions(batch);
  return {
    label_positions: int64(index, [index.length]),
    label_ids: int64(target, [target.length]),
    label_weights: new HostTensor(weight, [weight.length], "float32"),
  };
}

const integers = ({ data }: HostTensor): Int32Array => Int32Array.from(data as ArrayLike<number>, Number);

/** @throws CraftError unless a data collator gave tensors, under names that are its own to give. */
export function checkInputs(inputs: unknown): Inputs {
  const complaint = (subject: string, value: unknown, reason: string): CraftError =>
    new CraftError({
      subject,
      value,
      reason,
      remedy: 'A batch is {name: tensor}, e.g. {input_ids: tensor([[1, 2]], "int64")}.',
    });
  if (typeof inputs !== "object" || inputs === null || Object.keys(inputs).length === 0)
    throw complaint("dataCollator", inputs, "gave no tensors");
  return Object.fromEntries(
    Object.entries(inputs).map(([name, value]: [string, unknown]) => {
      if (!(value instanceof HostTensor)) throw complaint(`dataCollator, ${name}`, value, "is no tensor");
      if ((derived as readonly string[]).includes(name))
        throw complaint(`dataCollator, ${name}`, value.shape, "is a name that the trainer itself gives");
      return [name, value];
    }),
  );
}

/** The tokens that a model reads of a batch, padding left out. */
export function countInputTokens({ input_ids: ids, attention_mask: mask }: Inputs): number {
  if (mask !== undefined) return integers(mask).reduce((total, one) => total + one, 0);
  return ids?.shape.reduce((a, b) => a * b, 1) ?? 0;
}
