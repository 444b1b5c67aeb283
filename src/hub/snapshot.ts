/** @file Some files of a repository at one revision, from the cache or from the hub. */
import { readFile } from "node:fs/promises";
import { CraftError } from "../errors.js";
import { isSystemError } from "../transfer.js";
import { progressView } from "../torch/install_progress.js";
import { fetchFile, type FetchServices } from "./blob.js";
import { diskError, exists, RepoCache, type HubFile, type Listing } from "./cache.js";
import { describeRepo, HubClient, HubUnreachable, type Wanted } from "./client.js";
import { isCommit, requireRevision, type Repo } from "./repo_id.js";
import { hubSettings, type HubOptions } from "./settings.js";

/** What a repository's files are chosen from. */
export interface Contents {
  /** What it is called in messages. */
  readonly name: string;
  /** The paths of all files; offline and without a kept listing, of those that are in the cache. */
  readonly paths: readonly string[];
  /** Whether there is such a file that can be had: offline, only what is in the cache can. */
  readonly has: (path: string) => boolean;
  /** The text of a file, which is fetched for it. */
  readonly read: (path: string) => Promise<string>;
}

/** Names the files that are needed. */
export type Choose = (contents: Contents) => readonly string[] | Promise<readonly string[]>;

/** Parts of fetching that tests replace. */
export type SnapshotServices = Pick<FetchServices, "openFile" | "pauseMs">;

const parallelFiles = 4;

interface Found {
  readonly commit: string;
  readonly listing: Listing | undefined;
  readonly paths: readonly string[];
  readonly available: { has(path: string): boolean };
}

/** A repository at one commit. */
export class Snapshot {
  readonly repo: Repo;
  readonly commit: string;
  /** Where its files are. */
  readonly folder: string;
  readonly contents: Contents;
  private readonly client: HubClient;
  private readonly cache: RepoCache;
  private readonly revision: string;
  /** Undefined where only the cache is to be used. */
  private readonly listing: Listing | undefined;
  private readonly services: SnapshotServices;

  private constructor(
    wanted: Wanted,
    client: HubClient,
    cache: RepoCache,
    found: Found,
    services: SnapshotServices,
  ) {
    this.repo = wanted.repo;
    this.revision = wanted.revision;
    this.client = client;
    this.cache = cache;
    this.commit = found.commit;
    this.listing = found.listing;
    this.services = services;
    this.folder = cache.snapshot(found.commit);
    this.contents = {
      name: `${describeRepo(wanted.repo)} at ${wanted.revision}`,
      paths: found.paths,
      has: (path) => found.available.has(path),
      read: async (path) => {
        await this.fetch([path]);
        return readFile(cache.pointer(this.commit, path), "utf8");
      },
    };
  }

  /**
   * Finds out which commit the revision is and which files it has. A commit whose listing is in the cache needs no
   * network. If the hub cannot be reached, the cache serves with what it has, and says so on standard error.
   *
   * @throws CraftError if the hub refuses, or nothing is in the cache and the hub cannot be asked.
   */
  static async open(
    repo: Repo,
    options: HubOptions = {},
    services: SnapshotServices = {},
  ): Promise<Snapshot> {
    const settings = hubSettings(options);
    const { revision = "main" } = options;
    requireRevision(revision);
    const client = new HubClient(settings, services.pauseMs);
    const cache = new RepoCache(settings.cacheDir, repo, settings.symlinks);
    const wanted = { repo, revision };
    if (settings.offline) return Snapshot.cached(wanted, client, cache, services);
    try {
      // The hub's client is read from the disk only by who asks the hub.
      const { askCommit, askListing } = await import("./listing.js");
      const commit = isCommit(revision) ? revision : await askCommit(client, wanted);
      const kept = await cache.readListing(commit);
      const listing = kept ?? (await askListing(client, wanted, commit));
      await keep(settings.cacheDir, describeRepo(repo), async () => {
        if (kept === undefined) await cache.writeListing(commit, listing);
        await cache.writeRef(revision, commit);
      });
      const paths = [...listing.keys()];
      return new Snapshot(wanted, client, cache, { commit, listing, paths, available: listing }, services);
    } catch (error) {
      if (!(error instanceof HubUnreachable) || (await cache.readRef(revision)) === undefined) throw error;
      const snapshot = await Snapshot.cached(wanted, client, cache, services).catch(() => undefined);
      if (snapshot === undefined) throw error;
      process.stderr.write(
        `note: ${error.reason}; ${describeRepo(repo)} is taken from the cache as it is there\n`,
      );
      return snapshot;
    }
  }

  private static async cached(
    wanted: Wanted,
    client: HubClient,
    cache: RepoCache,
    services: SnapshotServices,
  ): Promise<Snapshot> {
    const commit = await cache.readRef(wanted.revision);
    const present = commit === undefined ? [] : await cache.present(commit);
    if (commit === undefined || present.length === 0) throw notCached(wanted, client, "the repository");
    const kept = await cache.readListing(commit);
    const paths = kept === undefined ? present : [...kept.keys()];
    const found = { commit, listing: undefined, paths, available: new Set(present) };
    return new Snapshot(wanted, client, cache, found, services);
  }

  /**
   * Fetches files that are not in the cache yet, some at a time; progress goes to standard error.
   *
   * @throws CraftError naming the file that is not in the repository, or that cannot be had.
   */
  async fetch(paths: readonly string[]): Promise<void> {
    const missing: HubFile[] = [];
    const wanted = { repo: this.repo, revision: this.revision };
    for (const path of paths) {
      if (await exists(this.cache.pointer(this.commit, path))) continue;
      if (this.listing === undefined) throw notCached(wanted, this.client, path);
      const file = this.listing.get(path);
      if (file === undefined)
        throw new CraftError({
          subject: "file",
          value: path,
          reason: `${describeRepo(this.repo)} has none of this name at ${this.revision}`,
        });
      missing.push(file);
    }
    if (missing.length > 0) await this.fetchAll(missing, wanted);
  }

  private async fetchAll(files: readonly HubFile[], wanted: Wanted): Promise<void> {
    const view = this.client.settings.showProgress ? await progressView() : undefined;
    const total = files.reduce((sum, { size }) => sum + size, 0);
    const done = new Map<HubFile, number>();
    const message = `Fetching ${files.length === 1 ? files[0]!.path : `${files.length} files`} of ${this.repo.name}`;
    const show = (): void =>
      view?.show({ stage: "download", message, done: [...done.values()].reduce((a, b) => a + b, 0), total });
    show();
    const abort = new AbortController();
    const waiting = [...files];
    const work = async (): Promise<void> => {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
        const current = file;
        await fetchFile(this.client, this.cache, { ...wanted, commit: this.commit }, current, {
          ...this.services,
          signal: abort.signal,
          onBytes: (bytes) => {
            done.set(current, bytes);
            show();
          },
          onWait: () =>
            view?.show({ stage: "wait", message: `Waiting for another process to fetch ${current.path}` }),
        });
        done.set(current, current.size);
        show();
      }
    };
    let failure: { readonly error: unknown } | undefined;
    const guarded = async (): Promise<void> => {
      try {
        await work();
      } catch (error) {
        failure ??= { error };
        abort.abort();
        waiting.length = 0;
      }
    };
    await Promise.all(Array.from({ length: Math.min(parallelFiles, files.length) }, guarded));
    view?.stop();
    if (failure !== undefined) throw failure.error;
  }
}

/** The files of a repository that `choose` names, in the cache. @returns the folder that holds them. */
export async function downloadSnapshot(
  repo: Repo,
  choose: Choose,
  options: HubOptions = {},
  services: SnapshotServices = {},
): Promise<string> {
  const snapshot = await Snapshot.open(repo, options, services);
  await snapshot.fetch(await choose(snapshot.contents));
  return snapshot.folder;
}

/** Keeps what the hub said. A cache that only others may write to is good for reading what is there. */
async function keep(cacheDir: string, what: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (!["EACCES", "EPERM", "EROFS"].includes(error.code ?? "")) throw diskError(cacheDir, what, error);
  }
}

function notCached({ repo, revision }: Wanted, { settings }: HubClient, what: string): CraftError {
  return new CraftError({
    subject: `${describeRepo(repo)}, revision ${revision}`,
    value: settings.cacheDir,
    reason: `${what} is not in the cache${settings.offline ? `, and ${settings.offlineBecause}, so that the hub is not asked` : ""}`,
    remedy: "Fetch it once with a network, set HF_HUB_CACHE to a cache that has it, or give a local folder",
  });
}
