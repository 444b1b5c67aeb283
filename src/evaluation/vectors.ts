/** @file Vectors in host memory: checks, and the little arithmetic that scores need. */
import { CraftError } from "../errors.js";

/** Vectors in rows, all of one length. */
export type Vectors = readonly Float32Array[];

export function dot(left: Float32Array, right: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < left.length; i++) sum += left[i]! * right[i]!;
  return sum;
}

export function squaredDistance(left: Float32Array, right: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < left.length; i++) sum += (left[i]! - right[i]!) ** 2;
  return sum;
}

/** Rows scaled to length 1. */
export function normalise(rows: Vectors): Float32Array[] {
  return rows.map((row) => {
    const length = Math.sqrt(dot(row, row));
    return row.map((value) => value / length);
  });
}

/** How many pairs there are. @throws CraftError for rows that do not fit together or cannot be compared. */
export function checkPairs(left: Vectors, right: Vectors, leftName: string, rightName: string): number {
  if (left.length !== right.length || left.length < 2) {
    throw new CraftError({
      subject: `${leftName} and ${rightName}`,
      value: [left.length, right.length],
      reason: "there must be as many rows in the one as in the other, and at least 2",
    });
  }
  const width = left[0]!.length;
  checkVectors(left, leftName, width);
  checkVectors(right, rightName, width);
  return left.length;
}

/** @throws CraftError for fewer than 2 rows, rows of another width and rows that have no direction. */
export function checkVectors(rows: Vectors, name: string, width = rows[0]?.length ?? 0): void {
  if (rows.length < 2)
    throw new CraftError({ subject: name, value: rows.length, reason: "there must be at least 2 rows" });
  for (const [at, row] of rows.entries()) checkRow(`${name}[${at}]`, row, width);
}

function checkRow(subject: string, row: Float32Array, width: number): void {
  if (row.length !== width) {
    throw new CraftError({ subject, value: row.length, reason: `the rows before it have ${width} values` });
  }
  const strange = row.find((value) => !Number.isFinite(value));
  if (strange !== undefined) {
    throw new CraftError({
      subject,
      value: strange.toString(),
      reason: "a vector must hold finite values only",
    });
  }
  if (row.every((value) => value === 0)) {
    throw new CraftError({ subject, reason: "a vector of zeros has no direction to compare" });
  }
}
