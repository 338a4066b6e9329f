/** Tiers as programs make them: which store, which key, and what engines have to keep to. */
import { invalidArgument } from "../errors.js";
import { parseMemorySize } from "../memory-size.js";
import { checkOptions, oneOf, shown, wholeNumber } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { KvTier, TierPolicy } from "../protocol/kv-tier.js";
import type { TierIdentity } from "../protocol/tier-messages.js";
import type { StoreSettings } from "./open-store.js";
import { parseRedisUrl } from "./redis-url.js";
import { tenantSalt } from "./tenant-salt.js";
import { startTierThread } from "./tier-thread.js";

/** What all tiers have. */
export interface TierOptions {
  /**
   * The tier key: 32 secret bytes or more, the same for all who are to share blocks, and known to no one else (`readTierKey`
   * reads them from a file). Records are encrypted and authenticated with it, and named by it.
   */
  readonly key: Uint8Array;
  /**
   * Which full blocks of prompts are written: `first`, when they are computed; `second`, when a second request takes them, too;
   * `auto` (the default), the first time those of prefixes of 256 tokens or more, the second time shorter ones.
   */
  readonly write?: TierPolicy["write"] | undefined;
  /**
   * Milliseconds that a load may take beyond twice what is expected of it, 1 to 60,000; default 250. Whatever it says, no load takes more than
   * half of what computing would.
   */
  readonly deadlineMs?: number | undefined;
  /** Seconds that a record is kept: 1 to 31,536,000, a year; default 86,400, a day. */
  readonly ttlSeconds?: number | undefined;
}

/** Blocks in a Redis, or in what speaks its protocol, such as Valkey. */
export interface RedisTierOptions extends TierOptions {
  /** `redis://user:password@host:port/db`, `rediss://…` for TLS, `redis+unix:///path` or `unix:///path` for a socket. */
  readonly url: string;
  /** A file that only its owner may read, with the password in place of the URL's. */
  readonly passwordFile?: string | undefined;
  /** Of TLS: a file (PEM) with the certificates of the authorities that sign the store's. Default: those that Node trusts. */
  readonly caFile?: string | undefined;
  /** Of TLS: a file (PEM) with this client's own certificate, where the server asks for one; it goes with `keyFile`. */
  readonly certFile?: string | undefined;
  /** Of TLS: a file (PEM) with the key of `certFile`. */
  readonly keyFile?: string | undefined;
}

/** Blocks as files in a folder, which several processes may share, and several machines where its file system does. */
export interface DirectoryTierOptions extends TierOptions {
  /** The folder: made where it is not there. Nothing else may write into it. */
  readonly folder: string;
  /** What records may take, all processes together: bytes, or a text such as `"20GiB"`; default 10 GiB. The least used go first. */
  readonly limit?: number | string | undefined;
}

const DEADLINE_MS = 250;
const LONGEST_DEADLINE_MS = 60_000;
const LEAST_KEY_BYTES = 32;
const DAY_SECONDS = 86_400;
const YEAR_SECONDS = 365 * DAY_SECONDS;

/** A namespace without blocks. */
const NO_ENGINE: TierIdentity = {
  ...{ fingerprint: "", dtypes: [], kvDtype: "f32", rotaryTable: null, numerics: "", probe: "" },
  ...{ blockSize: 16, blockBytes: 0, groups: [] },
};

const DIRECTORY_BYTES = 10 * 1024 ** 3;

const COMMON_NAMES = { key: true, write: true, deadlineMs: true, ttlSeconds: true } as const;
const REDIS_OPTIONS = optionNames<RedisTierOptions>()("redisTier", {
  ...COMMON_NAMES,
  ...{ url: true, passwordFile: true, caFile: true, certFile: true, keyFile: true },
});
const DIRECTORY_OPTIONS = optionNames<DirectoryTierOptions>()("directoryTier", {
  ...COMMON_NAMES,
  ...{ folder: true, limit: true },
});

/**
 * A KV tier in a Redis; give it to `load`. Nothing is opened before a model is loaded with it, and a server that cannot be reached then is no
 * error: until it can be, everything is computed. Needs the package ioredis.
 * @throws LastrowError `invalid_argument`
 */
export function redisTier(options: RedisTierOptions): KvTier {
  checkOptions(options, REDIS_OPTIONS);
  const { url, passwordFile, caFile, certFile, keyFile } = options;
  parseRedisUrl(url);
  for (const [name, path] of Object.entries({ passwordFile, caFile, certFile, keyFile })) {
    if (path !== undefined) checkPath(name, path);
  }
  const ttlSeconds = secondsOf(options);
  return tierOf(options, { kind: "redis", url, passwordFile, caFile, certFile, keyFile, ttlSeconds });
}

/**
 * A KV tier in a folder; give it to `load`. It is not looked at before a model is loaded with it.
 * @throws LastrowError `invalid_argument`
 */
export function directoryTier(options: DirectoryTierOptions): KvTier {
  checkOptions(options, DIRECTORY_OPTIONS);
  const { folder, limit } = options;
  checkPath("folder", folder);
  const limitBytes = limit === undefined ? DIRECTORY_BYTES : parseMemorySize(limit, "limit");
  return tierOf(options, { kind: "directory", folder, limitBytes, ttlSeconds: secondsOf(options) });
}

function secondsOf({ ttlSeconds }: TierOptions): number {
  return wholeNumber("ttlSeconds", ttlSeconds, DAY_SECONDS, { from: 1, to: YEAR_SECONDS });
}

function tierOf(options: TierOptions, settings: StoreSettings): KvTier {
  const { write = "auto", deadlineMs } = options;
  const policy: TierPolicy = {
    write: oneOf("write", write, ["auto", "first", "second"]),
    deadlineMs: wholeNumber("deadlineMs", deadlineMs, DEADLINE_MS, { from: 1, to: LONGEST_DEADLINE_MS }),
  };
  const key = checkedKey(options.key);
  return {
    connect: (identity) => startTierThread({ settings, key, identity }, policy),
    async check() {
      const connection = await startTierThread({ settings, key, identity: NO_ENGINE }, policy);
      const { problem } = await connection.stats();
      connection.port.close();
      await connection.close();
      return problem;
    },
    tenantSalt: (name) => tenantSalt(key, name),
  };
}

/** A copy: what the caller does with its own afterwards changes nothing. */
function checkedKey(key: unknown): Uint8Array {
  if (key instanceof Uint8Array && key.length >= LEAST_KEY_BYTES) return Uint8Array.from(key);
  // It may be one that was meant, and is a secret then.
  const found = key instanceof Uint8Array ? `${key.length} bytes` : "something else";
  throw invalidArgument(`key is a Uint8Array of ${LEAST_KEY_BYTES} bytes or more, not ${found}.`);
}

function checkPath(name: string, path: unknown): void {
  if (typeof path === "string" && path !== "") return;
  throw invalidArgument(`${name} is the path of a file or a folder, not ${shown(path)}.`);
}
