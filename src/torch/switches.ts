import { CraftError } from "../errors.js";

const ON = ["1", "true", "yes", "on"];
const OFF = ["0", "false", "no", "off"];

/**
 * Reads an environment variable that is a switch.
 *
 * @returns `fallback` when the variable is unset or empty.
 * @throws CraftError on any other word than 1, true, yes, on, 0, false, no, off.
 */
export function environmentSwitch(env: NodeJS.ProcessEnv, name: string, fallback: boolean): boolean {
  const value = env[name];
  if (value === undefined || value === "") return fallback;
  const word = value.toLowerCase();
  if (ON.includes(word)) return true;
  if (OFF.includes(word)) return false;
  throw new CraftError({
    subject: name,
    value,
    reason: `is neither on (${ON.join(", ")}) nor off (${OFF.join(", ")})`,
    remedy: `Set ${name} to 0 or 1, or unset it.`,
  });
}
