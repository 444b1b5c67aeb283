import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/**
 * Why a Linux shared library is surely incomplete, or undefined when its header raises no doubt.
 *
 * The table of sections stands at the end of an ELF file, so a file that ends before it was cut short. Loading
 * alone does not always show that: what is missing may only be touched in the midst of a training run.
 */
export function cutShort(file: string): string | undefined {
  const header = Buffer.alloc(64);
  const fd = openSync(file, "r");
  let size: number;
  try {
    if (readSync(fd, header, 0, header.length, 0) < header.length) return undefined;
    size = fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
  const isElf64 = header.readUInt32BE(0) === 0x7f454c46 && header[4] === 2 && header[5] === 1;
  if (!isElf64) return undefined;
  // e_shoff, e_shentsize and e_shnum of Elf64_Ehdr.
  const end = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60);
  return size < end ? `is cut short: ${size} bytes of at least ${end}` : undefined;
}
