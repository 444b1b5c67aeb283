/** @file Padded texts through the model, to one vector each. */
import type { PaddedTokens } from "../../data/padding.js";
import type { CausalLM } from "../../models/index.js";
import { HostTensor, withRandomPlaces, type Tensor } from "../../tensor/index.js";
import type { Feeds, TracedFeeds } from "../../training/objective.js";
import { tokenFeeds } from "../../trainers/sft/objective.js";
import type { InfoNCELoss } from "../losses/index.js";
import { pooledPlaces, poolRows } from "../losses/pooling.js";

/** Some rows of an array [rows, length]. */
export const rowsOf = (data: Int32Array, length: number, first: number, count: number): Int32Array =>
  data.subarray(first * length, (first + count) * length);

/** Some of the texts. */
export function someTexts(texts: PaddedTokens, first: number, count: number): PaddedTokens {
  const [rows, length] = texts.shape;
  const some = Math.min(count, rows - first);
  return {
    inputIds: rowsOf(texts.inputIds, length, first, some),
    attentionMask: rowsOf(texts.attentionMask, length, first, some),
    shape: [some, length],
  };
}

/** Texts of one length, one after the other. */
export function stackTexts(texts: readonly PaddedTokens[]): PaddedTokens {
  const joined = (name: "inputIds" | "attentionMask"): Int32Array =>
    Int32Array.from(texts.flatMap((each) => Array.from(each[name])));
  const rows = texts.reduce((total, { shape }) => total + shape[0], 0);
  return {
    inputIds: joined("inputIds"),
    attentionMask: joined("attentionMask"),
    shape: [rows, texts[0]!.shape[1]],
  };
}

export const maskFeed = (mask: Int32Array, shape: readonly number[]): HostTensor =>
  new HostTensor(mask, shape, "int64");

/** What {@link pooledTexts} reads. */
export const textFeeds = (texts: PaddedTokens): Feeds => ({
  ...tokenFeeds(texts),
  mask: maskFeed(texts.attentionMask, texts.shape),
});

/** Pooled vectors [rows, h]. Where a pooling takes one position, the model's last layer gives no other. */
export function pooledTexts(
  model: CausalLM,
  nce: InfoNCELoss,
  { inputIds, attentionMask, mask }: TracedFeeds,
): Tensor {
  const at = pooledPlaces(mask!, nce.pooling);
  const hidden = model.hiddenStates(inputIds!, { attentionMask, at });
  return at === undefined ? nce.pool(hidden, mask!) : poolRows(hidden, mask!);
}

/** More random numbers than one pass through a model draws at. */
const placesOfPass = 2 ** 16;

/** Traces one of several passes through the model, whose dropout is its own whatever the others draw. */
export const inPass = <T>(pass: number, body: () => T): T =>
  withRandomPlaces((pass + 1) * placesOfPass, body);
