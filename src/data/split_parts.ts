/** @file Splits as Python's `datasets` lets them be written: `train`, `train[:1000]`, `train[10%:20%]+test`. */
import { CraftError } from "../errors.js";
import type { Dataset } from "./dataset.js";

/** A split, or a part of it. */
export interface SplitPart {
  readonly split: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** @throws {@link CraftError} if the text is no split. */
export function parseSplit(text: string): readonly SplitPart[] {
  return text.split("+").map((part) => {
    const match = /^\s*([\w.-]+?)\s*(?:\[(-?\d+%?)?:(-?\d+%?)?\])?\s*$/.exec(part);
    if (match !== null) return { split: match[1]!, from: match[2], to: match[3] };
    throw new CraftError({
      subject: "split",
      value: text,
      reason: "is no split",
      remedy: "Write train, train[:1000], train[10%:20%] or train+test",
    });
  });
}

/** The rows of a part. Percentages are rounded to whole rows. @throws {@link CraftError} if it goes beyond the rows. */
export function partOf<R>(dataset: Dataset<R>, { split, from, to }: SplitPart): Dataset<R> {
  if (from === undefined && to === undefined) return dataset;
  const { length } = dataset;
  const place = (text: string | undefined, fallback: number): number => {
    if (text === undefined) return fallback;
    const isShare = text.endsWith("%");
    const number = Number(text.replace("%", ""));
    if (isShare && Math.abs(number) > 100) throw beyond(split, text, length);
    const rows = isShare ? Math.round((number / 100) * length) : number;
    const counted = rows < 0 ? length + rows : rows;
    if (counted < 0 || counted > length) throw beyond(split, text, length);
    return counted;
  };
  const [first, end] = [place(from, 0), place(to, length)];
  return dataset.select(Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i));
}

function beyond(split: string, value: string, rows: number): CraftError {
  return new CraftError({ subject: `split ${split}`, value, reason: `is beyond its ${rows} rows` });
}
