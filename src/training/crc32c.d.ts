// The package has types for its CRC-32 only.
declare module "crc-32/crc32c.js" {
  /** CRC-32C (Castagnoli) of bytes, as a signed 32-bit integer. */
  export function buf(bytes: Uint8Array, seed?: number): number;
}
