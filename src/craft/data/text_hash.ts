/** @file A number for the text of a row, to tell whether two rows say the same. */
import type { TokenIds } from "../../data/tokens.js";

/**
 * A 32-bit hash of the tokens whose mask is 1, in order (the steps of MurmurHash3). Two different texts share a hash
 * once in about four thousand million times.
 */
export function textHash(ids: TokenIds, mask?: TokenIds): number {
  let hash = 0;
  let count = 0;
  for (let i = 0; i < ids.length; i++) {
    if (mask?.[i] === 0) continue;
    let k = Math.imul(ids[i]!, 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    hash ^= k;
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
    count += 1;
  }
  hash ^= count * 4;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
