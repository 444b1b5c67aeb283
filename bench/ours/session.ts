/** @file Our end of the line protocol that bench/peers/peer.py describes. */
import { readFileSync, readSync, writeSync } from "node:fs";

const input = 0;
const output = 1;

/** The trainer is left by throwing this from its listener when the driver has seen enough. */
export class Quit extends Error {}

/** Takes the driver's commands and prints what the protocol asks for. Reading blocks: between two steps nothing runs. */
export class Session {
  readonly #name: string;
  readonly #once: boolean;
  readonly #importSeconds = performance.now() / 1000;
  #loadSeconds = 0;
  #steps = 0;
  #pending = "";
  #facts: Readonly<Record<string, unknown>> = {};

  /** Made when everything is imported. */
  constructor(name: string, once: boolean) {
    this.#name = name;
    this.#once = once;
  }

  /** Says that the next thing to happen is a step. */
  ready(facts: Readonly<Record<string, unknown>>): void {
    this.#loadSeconds = performance.now() / 1000 - this.#importSeconds;
    this.#facts = facts;
    if (!this.#once)
      say({ ready: true, ready_seconds_since_start: performance.now() / 1000, ...this.#about() });
  }

  /** Waits for a command; true when a step is to run, false when this process is to end. */
  wait(): boolean {
    if (this.#once) return this.#steps === 0;
    for (let line = this.#line(); line !== undefined; line = this.#line()) {
      if (line === "step") return true;
      if (line === "quit") return false;
      if (line !== "") throw new Error(`unknown command "${line}"; it accepts step or quit`);
    }
    return false;
  }

  finished(seconds: number, values: Readonly<Record<string, unknown>>): void {
    this.#steps++;
    if (!this.#once) return say({ seconds, ...values });
    const since = performance.now() / 1000;
    say({
      first_step_seconds_since_start: since,
      seconds,
      ...values,
      peak_rss_bytes: peakBytes(),
      ...this.#about(),
    });
  }

  /** @param peak where the steps ran in other processes */
  end(peak = peakBytes()): void {
    if (!this.#once) say({ done: true, steps: this.#steps, peak_rss_bytes: peak });
  }

  #about(): Record<string, unknown> {
    return {
      name: this.#name,
      import_seconds: this.#importSeconds,
      load_seconds: this.#loadSeconds,
      ...this.#facts,
    };
  }

  #line(): string | undefined {
    const buffer = Buffer.alloc(256);
    while (!this.#pending.includes("\n")) {
      const got = readSync(input, buffer);
      if (got === 0) return undefined;
      this.#pending += buffer.toString("utf8", 0, got);
    }
    const end = this.#pending.indexOf("\n");
    const line = this.#pending.slice(0, end).trim();
    this.#pending = this.#pending.slice(end + 1);
    return line;
  }
}

function say(message: Readonly<Record<string, unknown>>): void {
  writeSync(output, `${JSON.stringify(message)}\n`);
}

/** Largest resident size so far, in bytes. VmHWM first, as the peers do. */
export function peakBytes(): number {
  try {
    const kilobytes = /^VmHWM:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if (kilobytes !== undefined) return Number(kilobytes) * 1024;
  } catch {
    // There is no /proc on this system.
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** Processor seconds of this process so far, all threads. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
