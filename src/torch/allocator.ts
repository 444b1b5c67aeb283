/** @file What glibc does with memory that is freed. */
import koffi from "koffi";

const [trimThreshold, topPad, mmapThreshold, mmapMax] = [-1, -2, -3, -4];

/** Nothing happens on systems and C libraries without mallopt (musl), which have no such habits. */
function mallopt(options: readonly (readonly [key: number, value: number])[]): void {
  if (process.platform !== "linux") return;
  try {
    const set = koffi.load("libc.so.6").func("int mallopt(int, int)") as (
      key: number,
      value: number,
    ) => number;
    for (const [key, value] of options) set(key, value);
  } catch {
    return;
  }
}

/**
 * Keeps freed blocks inside the process. glibc gives large blocks back to the kernel at each free, and the page
 * faults of the next allocation then cost more than the arithmetic. Must run before libtorch allocates.
 */
export const keepFreedBlocks = (): void =>
  mallopt([
    [mmapMax, 0],
    [trimThreshold, 0x7fffffff],
    [topPad, 64 << 20],
  ]);

/**
 * From now on blocks of 32 MiB and more have pages of their own and go back to the kernel when they are freed. Where such a
 * block comes and goes between small ones that stay, as with large weights in 4 bits, the holes that it leaves among freed
 * blocks fill up with what is small, and it needs new room each time. Filling new pages costs little beside computing what
 * they hold.
 */
export const returnLargeBlocks = (): void =>
  mallopt([
    [mmapThreshold, 32 << 20],
    [mmapMax, 65_536],
  ]);
