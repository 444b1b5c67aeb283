/** @file Requests to a hub: who asks, whom the token may be shown to, and what refusals mean. */
import { setTimeout as sleep } from "node:timers/promises";
import { CraftError } from "../errors.js";
import { answered, describeNetworkError, isNetworkError, isPassing } from "../transfer.js";
import type { Repo } from "./repo_id.js";
import type { HubSettings } from "./settings.js";

/** No answer that says anything about the repository: what is in the cache may do instead. */
export class HubUnreachable extends CraftError {}

export interface Ask {
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** What is asked for, for messages. */
export interface Wanted {
  readonly repo: Repo;
  readonly revision: string;
  readonly file?: string;
}

/** Talks with one hub. */
export class HubClient {
  readonly settings: HubSettings;
  private readonly pauseMs: number;

  /** @param pauseMs - wait before a question is asked again, doubled each time. */
  constructor(settings: HubSettings, pauseMs = 500) {
    this.settings = settings;
    this.pauseMs = pauseMs;
  }

  /** Asks once and follows no redirect. The token goes to the hub itself and to nobody else. */
  ask(url: URL, { method = "GET", headers = {}, signal }: Ask = {}): Promise<Response> {
    const { token, endpoint } = this.settings;
    const own = token !== undefined && url.origin === new URL(endpoint).origin;
    return fetch(url, {
      method,
      redirect: "manual",
      ...(signal !== undefined && { signal }),
      headers: {
        "user-agent": `contrastive-ft; node/${process.versions.node}`,
        // Compressed bodies have other lengths than the files, and no ranges.
        "accept-encoding": "identity",
        ...headers,
        ...(own && { authorization: `Bearer ${token}` }),
      },
    });
  }

  /**
   * Asks, again if the answer may be another the next time, and follows redirects within the hub.
   *
   * @returns an answer that is good, or a redirect to another host.
   * @throws HubUnreachable if there is no answer; CraftError if it is a refusal.
   */
  async get(address: string, wanted: Wanted, ask: Ask = {}): Promise<Response> {
    let url = new URL(address);
    const { origin } = new URL(this.settings.endpoint);
    if (url.origin !== origin) throw this.dishonest(wanted, `names ${url.origin} as a part of itself`);
    for (let hops = 0; hops < 6; hops++) {
      const response = await this.patiently(url, wanted, ask);
      const next = redirection(response, url);
      if (next === undefined) {
        if (!response.ok) throw await this.refusal(response, wanted);
        return response;
      }
      if (next.origin !== origin) return response;
      await response.body?.cancel();
      url = next;
    }
    throw this.dishonest(wanted, "redirects without end");
  }

  /** `get` with the signature of `fetch`, for `@huggingface/hub`. */
  fetcher(wanted: Wanted): typeof fetch {
    return async (input, init) => {
      const address = input instanceof Request ? input.url : String(input);
      const response = await this.get(address, wanted, {
        headers: Object.fromEntries(new Headers(init?.headers)),
      });
      if (response.ok) return response;
      throw this.dishonest(wanted, "sends questions about itself to another host");
    };
  }

  private async patiently(url: URL, wanted: Wanted, ask: Ask): Promise<Response> {
    const { timeoutMs } = this.settings;
    for (let attempt = 1; ; attempt++) {
      let trouble: string;
      try {
        const signal = AbortSignal.timeout(timeoutMs.answer);
        const response = await this.ask(url, { signal, ...ask });
        if (!isPassing(response.status)) return response;
        trouble = answered(response);
        await response.body?.cancel();
      } catch (cause) {
        const late = cause instanceof DOMException && cause.name === "TimeoutError";
        if (!late && !(cause instanceof Error && isNetworkError(cause))) throw cause;
        trouble = late ? `no answer within ${timeoutMs.answer / 1000} s` : describeNetworkError(cause);
      }
      if (attempt === 3) {
        throw new HubUnreachable({
          subject: describeWanted(wanted),
          reason: `${this.settings.endpoint} cannot be reached (${trouble})`,
          remedy:
            "Check the network, the proxy and HF_ENDPOINT; or give a local folder; or fetch it where there is a network",
        });
      }
      await sleep(this.pauseMs * 2 ** (attempt - 1));
    }
  }

  /** The error for an answer that no hub should give. */
  dishonest(wanted: Wanted, reason: string): CraftError {
    return new CraftError({
      subject: describeWanted(wanted),
      value: this.settings.endpoint,
      reason: `the hub ${reason}`,
      remedy: "Nothing was written. Check HF_ENDPOINT and what stands between this machine and the hub",
    });
  }

  /** What a refusal means to the user. `X-Error-Code` tells which part is missing. */
  async refusal(response: Response, wanted: Wanted): Promise<CraftError> {
    const { repo, revision, file } = wanted;
    const { endpoint, token } = this.settings;
    const page = `${endpoint}/${repo.type === "dataset" ? "datasets/" : ""}${repo.name}`;
    const code = response.headers.get("x-error-code");
    const said = response.headers.get("x-error-message");
    await response.body?.cancel();
    const error = (subject: string, value: string, reason: string, remedy: string): CraftError =>
      new CraftError({ subject, value, reason, remedy });
    const howTo = "set HF_TOKEN to an access token of that account, or log in with `hf auth login`";
    if (code === "GatedRepo")
      return error(
        `${repo.type} id`,
        repo.name,
        `access is restricted${said === null ? "" : ` (${said})`}`,
        `Accept its conditions at ${page}, then ${howTo}`,
      );
    if (code === "RevisionNotFound")
      return error(
        "revision",
        revision,
        `${describeRepo(repo)} has no branch, tag or commit of this name`,
        `See ${page}/tree/main`,
      );
    if (code === "EntryNotFound" && file !== undefined)
      return error(
        "file",
        file,
        `${describeRepo(repo)} has none of this name at ${revision}`,
        `See ${page}/tree/main`,
      );
    // Without a token the hub does not tell private repositories from those that do not exist.
    if (
      response.status === 401 ||
      response.status === 403 ||
      response.status === 404 ||
      code === "RepoNotFound"
    )
      return error(
        `${repo.type} id`,
        repo.name,
        response.status === 404 || code === "RepoNotFound"
          ? `is neither a local path nor a ${repo.type} at ${endpoint}${token === undefined ? " that can be seen without a token" : ""}`
          : `${endpoint} refuses access (${response.status})`,
        token === undefined
          ? `Check the id; if it is private or gated, ${howTo}`
          : "Check the id, and that the token (HF_TOKEN, or the token file) is valid and may read it",
      );
    return error(
      describeWanted(wanted),
      endpoint,
      `${answered(response)}${said === null ? "" : ` (${said})`}`,
      `See ${page}`,
    );
  }
}

/** Where an answer sends on to; undefined if it does not. */
export function redirection(response: Response, from: URL): URL | undefined {
  const location = response.headers.get("location");
  if (response.status < 300 || response.status > 399 || location === null) return undefined;
  return new URL(location, from);
}

export const describeRepo = ({ type, name }: Repo): string => `${type} ${name}`;

const describeWanted = ({ repo, file }: Wanted): string =>
  file === undefined ? describeRepo(repo) : `${describeRepo(repo)}, file ${file}`;
