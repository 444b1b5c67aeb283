/** @file Models and datasets of the Hugging Face hub, by id. */
import { parseRepo, type RepoType } from "./repo_id.js";
import type { HubOptions } from "./settings.js";
import { downloadSnapshot } from "./snapshot.js";

export { isRepoId, parseRepo, type Repo, type RepoType } from "./repo_id.js";
export { hubSettings, type HubOptions, type HubSettings } from "./settings.js";
export { pretrainedFolder, type PretrainedKind } from "./pretrained.js";
export { Snapshot, type Contents } from "./snapshot.js";

export interface SnapshotDownloadOptions extends HubOptions {
  /** Default "model". */
  readonly repoType?: RepoType;
  /** The files to fetch. By default all. */
  readonly files?: readonly string[];
}

/**
 * Fetches files of a repository into the cache, which Python's huggingface_hub shares.
 *
 * @returns the folder of the snapshot; its files are links to the cache's blobs, and are not to be changed.
 * @throws CraftError if the repository, the revision or a file does not exist, access is refused, what arrives is not
 * what the hub announced, or the disk is full. Files that were complete before stay.
 *
 * @example
 * const folder = await snapshotDownload("org/name", { revision: "v1.0", files: ["config.json"] });
 */
export async function snapshotDownload(id: string, options: SnapshotDownloadOptions = {}): Promise<string> {
  const { repoType = "model", files, ...hub } = options;
  return downloadSnapshot(parseRepo(repoType, id), ({ paths }) => files ?? paths, hub);
}
