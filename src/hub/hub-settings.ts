/**
 * What the environment says about the Hub: its address, the access token, and where its files are kept. The variables and their
 * order are those of the Python package huggingface_hub (`constants.py`, "Environment variables" in its documentation),
 * so that both find the same files. An empty variable counts as unset.
 */
import { readFile } from "node:fs/promises";
import { homedir, userInfo } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { LastrowError } from "../errors.js";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface HubSettings {
  /** The Hub's address without a slash at its end. */
  readonly endpoint: string;
  /** `null`: ask without one. */
  readonly token: string | null;
  /** Absolute path of the folder that holds `models--…`. */
  readonly cacheFolder: string;
  /** Whether the network must not be touched. */
  readonly offline: boolean;
  /** How long the Hub may send nothing, in milliseconds. */
  readonly timeoutMs: number;
}

const DEFAULT_ENDPOINT = "https://huggingface.co";
const DEFAULT_TIMEOUT_S = 30;
/** The longest that a Node timer can wait. */
const MAX_TIMEOUT_S = 2_147_483;

/**
 * Reads `HF_ENDPOINT`; `HF_TOKEN`, then the older `HUGGING_FACE_HUB_TOKEN`, then the file at `HF_TOKEN_PATH` or
 * `HF_HOME`/token, unless `HF_HUB_DISABLE_IMPLICIT_TOKEN`; `HF_HUB_CACHE`, then the older `HUGGINGFACE_HUB_CACHE`, then
 * `HF_HOME`/hub, then `XDG_CACHE_HOME`/huggingface/hub, then ~/.cache/huggingface/hub; `HF_HUB_OFFLINE` (or
 * `TRANSFORMERS_OFFLINE`); `HF_HUB_DOWNLOAD_TIMEOUT` in seconds (30 where it is not set).
 *
 * @throws LastrowError `invalid_argument` for a variable that cannot be used. No message shows a token.
 */
export async function readHubSettings(env: Environment): Promise<HubSettings> {
  const home = hubHome(env);
  const cache = variable(env, "HF_HUB_CACHE") ?? variable(env, "HUGGINGFACE_HUB_CACHE");
  return {
    endpoint: readEndpoint(env),
    token: await readToken(env, home),
    cacheFolder: cache === null ? join(home, "hub") : absolute(cache, env),
    offline: isOn(env, "HF_HUB_OFFLINE") || isOn(env, "TRANSFORMERS_OFFLINE"),
    timeoutMs: readTimeout(env) * 1000,
  };
}

function hubHome(env: Environment): string {
  const home = variable(env, "HF_HOME");
  if (home !== null) return absolute(home, env);
  const caches = variable(env, "XDG_CACHE_HOME");
  return join(caches === null ? join(userHome(env), ".cache") : absolute(caches, env), "huggingface");
}

function readEndpoint(env: Environment): string {
  const endpoint = (variable(env, "HF_ENDPOINT") ?? DEFAULT_ENDPOINT).replace(/\/+$/, "");
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  const isPlain = url !== null && `${url.username}${url.password}${url.search}${url.hash}` === "";
  if (isPlain && /^https?:$/.test(url.protocol)) return endpoint;
  throw new LastrowError(
    "invalid_argument",
    "HF_ENDPOINT must be an http or https address without a user, a query or a fragment, such as https://huggingface.co.",
  );
}

async function readToken(env: Environment, home: string): Promise<string | null> {
  if (isOn(env, "HF_HUB_DISABLE_IMPLICIT_TOKEN")) return null;
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const token = (variable(env, name) ?? "").trim();
    if (token !== "") return checkToken(token, name);
  }
  const given = variable(env, "HF_TOKEN_PATH");
  const path = given === null ? join(home, "token") : absolute(given, env);
  const token = (await readTokenFile(path)).trim();
  return token === "" ? null : checkToken(token, path);
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return "";
    throw new LastrowError("invalid_argument", `The Hub's token file ${path} cannot be read (${code}).`, {
      cause,
    });
  }
}

/** `fetch` would put a value that cannot be a header into its error's message. */
function checkToken(token: string, source: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new LastrowError(
    "invalid_argument",
    `${source} holds no Hub token: a token has no spaces, line breaks or characters other than ASCII.`,
  );
}

function readTimeout(env: Environment): number {
  const text = variable(env, "HF_HUB_DOWNLOAD_TIMEOUT");
  if (text === null) return DEFAULT_TIMEOUT_S;
  const seconds = Number(text);
  if (seconds > 0 && seconds <= MAX_TIMEOUT_S) return seconds;
  throw new LastrowError(
    "invalid_argument",
    `HF_HUB_DOWNLOAD_TIMEOUT must be a number of seconds above 0 and at most ${MAX_TIMEOUT_S}.`,
  );
}

function variable(env: Environment, name: string): string | null {
  const value = env[name];
  return value === undefined || value === "" ? null : value;
}

function isOn(env: Environment, name: string): boolean {
  return /^(1|true|yes|on)$/i.test(variable(env, name) ?? "");
}

function absolute(path: string, env: Environment): string {
  return resolve(/^~($|[/\\])/.test(path) ? join(userHome(env), path.slice(1)) : path);
}

function userHome(env: Environment): string {
  return variable(env, process.platform === "win32" ? "USERPROFILE" : "HOME") ?? knownHome();
}

/** `homedir` gives HOME as it is, also where it is empty: then the folder is the one that the system has for the user. */
function knownHome(): string {
  try {
    const home = homedir();
    return isAbsolute(home) ? home : userInfo().homedir;
  } catch (cause) {
    throw new LastrowError(
      "invalid_argument",
      "The user has no home folder: set HF_HOME to the folder that shall hold the Hub's cache.",
      { cause },
    );
  }
}
