/** @file A lock between processes, for work that need not be done twice. */
import { open, readFile, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

// A holder shows that it is alive by touching its lock; one that does not is taken for dead.
const HEARTBEAT_MS = 2_000;
const DEAD_MS = 60_000;
const POLL_MS = 200;

// The locks held by this very process, which their process number cannot tell apart.
const heldHere = new Set<string>();

/**
 * Runs `work` while no other process of this or another machine holds the lock file `path`, and waits for one that
 * does. The lock saves work and disk only: what makes the work safe is that its result is checked and renamed into
 * place, so that a lock broken by mistake does no harm.
 */
export async function withFileLock<T>(path: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  let waiting = false;
  while (!(await acquire(path))) {
    if (!waiting) onWait();
    waiting = true;
    await sleep(POLL_MS);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    await rm(path, { force: true });
    heldHere.delete(path);
  }
}

async function acquire(path: string): Promise<boolean> {
  if (heldHere.has(path)) return false;
  heldHere.add(path);
  let got = false;
  try {
    got = (await create(path)) || ((await isDead(path)) && (await replace(path)));
    return got;
  } finally {
    if (!got) heldHere.delete(path);
  }
}

async function replace(path: string): Promise<boolean> {
  await rm(path, { force: true });
  return create(path);
}

async function create(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    try {
      await file.writeFile(JSON.stringify({ host: hostname(), pid: process.pid }));
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

async function isDead(path: string): Promise<boolean> {
  try {
    const age = Date.now() - (await stat(path)).mtimeMs;
    if (age > DEAD_MS) return true;
    const owner: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof owner !== "object" || owner === null || !("host" in owner) || !("pid" in owner)) return false;
    if (owner.host !== hostname() || typeof owner.pid !== "number") return false;
    // Our own number in a lock that we do not hold was left by a dead process that had the same one.
    return owner.pid === process.pid || !isAlive(owner.pid);
  } catch {
    // Gone or half written: its owner is at work this very moment.
    return false;
  }
}

/** Whether a process of this machine is running. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, but under another user.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
