/** @file Where the hub is, where its files are kept, and who asks: options, environment variables and defaults. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { CraftError } from "../errors.js";

/** How a model or dataset is found on a hub. */
export interface HubOptions {
  /** Branch, tag or commit. Default `main`. */
  readonly revision?: string | undefined;
  /** Folder of the cache. By default what HF_HUB_CACHE says, else `hub` in HF_HOME. */
  readonly cacheDir?: string | undefined;
  /** Access token. By default HF_TOKEN, else what is in the token file; `false` sends none. */
  readonly token?: string | false | undefined;
  /** Address of the hub. By default HF_ENDPOINT, else `https://huggingface.co`. */
  readonly endpoint?: string | undefined;
  /** Use what is in the cache and ask nobody. By default what HF_HUB_OFFLINE says. */
  readonly localFilesOnly?: boolean | undefined;
}

/** Everything that a request to the hub depends on. */
export interface HubSettings {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly cacheDir: string;
  readonly token: string | undefined;
  readonly offline: boolean;
  /** What made it offline, for messages. */
  readonly offlineBecause: string;
  /** How long to wait for an answer, and for the next bytes of a file, in milliseconds. */
  readonly timeoutMs: { readonly answer: number; readonly bytes: number };
  readonly showProgress: boolean;
  /** Links from snapshots to blobs; otherwise files are copied. */
  readonly symlinks: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The hub's settings from options and environment. Variables have the names and meanings of huggingface_hub. */
export function hubSettings(options: HubOptions = {}, env: Environment = process.env): HubSettings {
  const home = expanded(
    given(env, "HF_HOME") ?? join(given(env, "XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "huggingface"),
    env,
  );
  const cache = given(env, "HF_HUB_CACHE") ?? given(env, "HUGGINGFACE_HUB_CACHE") ?? join(home, "hub");
  const offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].find((name) => isTrue(env[name]));
  return {
    endpoint: endpointOf(options.endpoint ?? given(env, "HF_ENDPOINT") ?? "https://huggingface.co"),
    cacheDir: options.cacheDir ?? expanded(cache, env),
    token: tokenOf(options.token, home, env),
    offline: options.localFilesOnly ?? offline !== undefined,
    offlineBecause: options.localFilesOnly === true ? "localFilesOnly is set" : `${offline} is set`,
    timeoutMs: {
      answer: seconds(env, "HF_HUB_ETAG_TIMEOUT", 10),
      bytes: seconds(env, "HF_HUB_DOWNLOAD_TIMEOUT", 60),
    },
    showProgress: !isTrue(env["HF_HUB_DISABLE_PROGRESS_BARS"]),
    symlinks: !isTrue(env["HF_HUB_DISABLE_SYMLINKS"]),
  };
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return text.replace(/\/+$/, "");
  throw new CraftError({
    subject: "HF_ENDPOINT",
    value: text,
    reason: "is not the address of a hub",
    remedy: "Give one that begins with https://",
  });
}

function tokenOf(option: string | false | undefined, home: string, env: Environment): string | undefined {
  if (option === false) return undefined;
  if (option !== undefined) return cleaned(option);
  if (isTrue(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])) return undefined;
  const named = given(env, "HF_TOKEN") ?? given(env, "HUGGING_FACE_HUB_TOKEN");
  return cleaned(named ?? readIfThere(expanded(given(env, "HF_TOKEN_PATH") ?? join(home, "token"), env)));
}

const cleaned = (token: string): string | undefined => token.replaceAll(/[\r\n]/g, "").trim() || undefined;

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Without a token only what is public can be had, and the hub's refusal tells how to give one.
    return "";
  }
}

/** `~` and `$NAME` as a shell reads them. */
function expanded(path: string, env: Environment): string {
  return path
    .replace(/^~(?=$|[/\\])/, homedir())
    .replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (all, braced: string | undefined, bare: string | undefined) => {
      return env[braced ?? bare ?? ""] ?? all;
    });
}

function given(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === "" ? undefined : value;
}

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");

function seconds(env: Environment, name: string, fallback: number): number {
  const value = Number(given(env, name) ?? fallback);
  if (Number.isFinite(value) && value > 0) return value * 1000;
  throw new CraftError({ subject: name, value: env[name], reason: "must be a number of seconds above 0" });
}
