/** @file Names of repositories on a hub. */
import { CraftError } from "../errors.js";

export type RepoType = "model" | "dataset";

export interface Repo {
  readonly type: RepoType;
  /** `org/name`, or `name` for the few that have no owner. */
  readonly name: string;
}

const word = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$/;

/** What keeps a text from being a repository's name; undefined if nothing does. The rules are huggingface_hub's. */
function fault(text: string): string | undefined {
  const parts = text.split("/");
  if (parts.length > 2) return "has more than one slash";
  if (text.length > 96) return "is longer than 96 characters";
  if (!parts.every((part) => word.test(part)))
    return "has parts that are not letters, digits, -, _ and . (which may stand inside only)";
  if (/--|\.\./.test(text)) return "contains -- or ..";
  if (text.endsWith(".git")) return "ends with .git";
  return undefined;
}

/** Whether a text may be the id of a repository: `org/name`, or a name alone. */
export const isRepoId = (text: string): boolean => fault(text) === undefined;

/** @throws {@link CraftError} if the text is no id of a repository. */
export function parseRepo(type: RepoType, name: string): Repo {
  const reason = fault(name);
  if (reason === undefined) return { type, name };
  throw new CraftError({
    subject: `${type} id`,
    value: name,
    reason,
    remedy: "Give the id as the hub shows it, such as org/name",
  });
}

/** @throws {@link CraftError} if the text can be no branch, tag or commit. */
export function requireRevision(revision: string): void {
  const good =
    /^[^\s~^:?*[\]\\\p{Cc}]+$/u.test(revision) &&
    revision.split("/").every((part) => part !== "" && !part.startsWith(".") && !part.endsWith(".lock")) &&
    !revision.includes("..");
  if (good) return;
  throw new CraftError({
    subject: "revision",
    value: revision,
    reason: "can be no name of a branch, a tag or a commit",
    remedy: "Give one that the repository has, such as main",
  });
}

const commitPattern = /^[0-9a-f]{40}$/;

/** Whether a text is the hash of a commit. */
export const isCommit = (text: string): boolean => commitPattern.test(text);
