import { expect, test } from "vitest";
import {
  evenShare,
  pairRows,
  preferenceRows,
  promptRows,
  sftRows,
  tokenRows,
} from "../../../bench/workload.js";

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

// What preference_rows(), prompt_rows() and even_share() of bench/peers/peer.py give, run with Python 3.
test("prompts and answers are those of the Python peers, and answers end with the end token", () => {
  const ends = (ids: readonly number[]): unknown => [ids.slice(0, 3), ids.slice(-3), ids.length];
  const rows = preferenceRows();
  const [first, last] = [rows[0]!, rows[255]!];
  expect(rows.length).toBe(256);
  expect(ends(first.prompt_ids)).toEqual([[34905, 2181, 5633], [4715, 46415, 2228], 128]);
  expect(ends(first.chosen_ids)).toEqual([[41407, 226, 24332], [45355, 6537, 2], 64]);
  expect(ends(first.rejected_ids)).toEqual([[28401, 45551, 42040], [20612, 16529, 2], 64]);
  expect(ends(last.chosen_ids)).toEqual([[46746, 1288, 17907], [5305, 18617, 2], 64]);
  expect(ends(last.rejected_ids)).toEqual([[26445, 917, 47775], [27026, 26433, 2], 64]);
  const prompts = promptRows();
  expect(prompts.length).toBe(256);
  expect(ends(prompts[255]!.input_ids)).toEqual([[7086, 38109, 4978], [16442, 23637, 389], 64]);
  expect(evenShare([1, 2, 4, 7, 8])).toBe(0.6);
});
