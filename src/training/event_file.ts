/** @file TensorBoard's event files: protobuf messages in the frames of TFRecord. */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import crc32c from "crc-32/crc32c.js";

export interface ScalarEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  /** Values by tag, float32. */
  readonly values: Readonly<Record<string, number>>;
}

/** CRC-32C, rotated right by 15 bits and moved by a constant, as TFRecord stores it. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c.buf(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** A frame: length (uint64), its checksum, the bytes, their checksum; little-endian. */
export function tfRecord(bytes: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(bytes.length + 16);
  frame.writeBigUInt64LE(BigInt(bytes.length), 0);
  frame.writeUInt32LE(maskedCrc(frame.subarray(0, 8)), 8);
  frame.set(bytes, 12);
  frame.writeUInt32LE(maskedCrc(bytes), 12 + bytes.length);
  return frame;
}

/** Field numbers of `tensorflow.Event` and what is inside it (tensorflow/core/util/event.proto, summary.proto). */
const field = {
  event: { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 },
  summary: { value: 1 },
  value: { tag: 1, simpleValue: 2 },
  sessionLog: { status: 1 },
};
const sessionStart = 1;

function event(wallTime: number, step: number): BinaryWriter {
  const writer = new BinaryWriter().tag(field.event.wallTime, WireType.Bit64).double(wallTime);
  return step === 0 ? writer : writer.tag(field.event.step, WireType.Varint).int64(step);
}

/** The message with which every file begins. */
export const versionEvent = (wallTime: number): Uint8Array =>
  event(wallTime, 0).tag(field.event.fileVersion, WireType.LengthDelimited).string("brain.Event:2").finish();

/** Says that a run begins anew at a step: readers forget what other files have from there on. */
export const restartEvent = (wallTime: number, step: number): Uint8Array =>
  event(wallTime, step)
    .tag(field.event.sessionLog, WireType.LengthDelimited)
    .fork()
    .tag(field.sessionLog.status, WireType.Varint)
    .int32(sessionStart)
    .join()
    .finish();

/** Values of one step. */
export function scalarEvent({ wallTime, step, values }: ScalarEvent): Uint8Array {
  const writer = event(wallTime, step).tag(field.event.summary, WireType.LengthDelimited).fork();
  for (const [tag, value] of Object.entries(values)) {
    writer
      .tag(field.summary.value, WireType.LengthDelimited)
      .fork()
      .tag(field.value.tag, WireType.LengthDelimited)
      .string(tag)
      .tag(field.value.simpleValue, WireType.Bit32)
      .float(value)
      .join();
  }
  return writer.join().finish();
}

/** Writes one event file. What is added is in the file at once. */
export class EventFile {
  readonly path: string;

  /** Creates the file in a folder, under a name by which TensorBoard finds it and puts it in order. */
  constructor(folder: string, now = Date.now()) {
    mkdirSync(folder, { recursive: true });
    const name = `events.out.tfevents.${Math.floor(now / 1000)}.${hostname()}.${process.pid}`;
    this.path = createFirst(folder, name, tfRecord(versionEvent(now / 1000)));
  }

  add(bytes: Uint8Array): void {
    appendFileSync(this.path, tfRecord(bytes));
  }
}

/** Two runs in one second get files of their own. */
function createFirst(folder: string, name: string, content: Uint8Array): string {
  for (let i = 0; ; i++) {
    const path = join(folder, `${name}.${i}`);
    try {
      writeFileSync(path, content, { flag: "wx" });
      return path;
    } catch (error) {
      const exists = error instanceof Error && "code" in error && error.code === "EEXIST";
      if (!exists) throw error;
    }
  }
}
