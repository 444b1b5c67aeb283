import { expect, test } from "vitest";
import { pairRows, sftRows, tokenRows } from "../../../bench/workload.js";

// What tokens() of bench/peers/peer.py gives for 256 rows, run with Python 3.
test.each([
  [1, [34905, 2181, 5633, 29498], [3978, 23784, 29824]],
  [2, [41407, 226, 24332, 11554], [27026, 26433, 22144]],
  [3, [47909, 47423, 10262, 42761], [921, 29082, 47232]],
])("stream %i has the tokens that the Python peers have", (stream, first, last) => {
  const rows = tokenRows(256, stream);
  expect(rows[0]!.slice(0, 4)).toEqual(first);
  expect(rows[255]!.slice(-3)).toEqual(last);
});

test("the second half of an SFT row is supervised, and pairs take a stream each", () => {
  const [row] = sftRows();
  expect(row!.labels.slice(0, 64)).toEqual(new Array(64).fill(-100));
  expect(row!.labels.slice(64)).toEqual(row!.input_ids.slice(64));
  const pairs = pairRows();
  expect(pairs.length).toBe(256);
  expect([pairs[0]!.input_ids[0], pairs[0]!.input_ids_tgt[0]]).toEqual([41407, 47909]);
});
