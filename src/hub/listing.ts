/** @file Which commit a revision is, and which files it has. */
import { datasetInfo, listFiles, modelInfo } from "@huggingface/hub";
import { requireInside, type HubFile, type Listing } from "./cache.js";
import type { HubClient, Wanted } from "./client.js";
import { isCommit } from "./repo_id.js";

/** The commit that a branch or tag is at. */
export async function askCommit(client: HubClient, wanted: Wanted): Promise<string> {
  const { repo, revision } = wanted;
  const ask = {
    name: repo.name,
    revision,
    hubUrl: client.settings.endpoint,
    fetch: client.fetcher(wanted),
    additionalFields: ["sha" as const],
  };
  const { sha } = await (repo.type === "model" ? modelInfo(ask) : datasetInfo(ask));
  if (typeof sha === "string" && isCommit(sha)) return sha;
  throw client.dishonest(wanted, "does not tell the commit of the revision");
}

/** All files of a commit. */
export async function askListing(client: HubClient, wanted: Wanted, commit: string): Promise<Listing> {
  const listing = new Map<string, HubFile>();
  const entries = listFiles({
    repo: wanted.repo,
    revision: commit,
    recursive: true,
    hubUrl: client.settings.endpoint,
    fetch: client.fetcher(wanted),
  });
  for await (const { type, path, size, oid, lfs, xetHash } of entries) {
    if (type !== "file") continue;
    requireInside(path);
    const bytes = lfs?.size ?? size;
    const hashed =
      oid !== undefined && isCommit(oid) && (lfs === undefined || /^[0-9a-f]{64}$/.test(lfs.oid));
    if (!hashed || !Number.isSafeInteger(bytes) || bytes < 0)
      throw client.dishonest({ ...wanted, file: path }, "lists the file without a size and a hash");
    listing.set(path, { path, size: bytes, oid, sha256: lfs?.oid, xetHash });
  }
  return listing;
}
