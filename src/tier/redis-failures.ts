/**
 * What a Redis says when it will not, in words that its operator can act on. Pure. Nothing that was sent is repeated: neither the
 * password nor a record.
 */
import { printable } from "../printable.js";
import { StoreError, type StoreFailure } from "./store.js";

/** What was asked when it failed: a Redis that takes no records may still be read. */
export type RedisWork = "connect" | "get" | "set" | "ping";

interface Known {
  /** What the answer begins with. */
  readonly code: RegExp;
  readonly inWords: string;
  /** It is asked for nothing else but writes. */
  readonly onlyWrites?: boolean;
}

const KNOWN: readonly Known[] = [
  {
    code: /^OOM\b/,
    inWords:
      "is full, and its maxmemory-policy lets nothing go; set it to allkeys-lfu (volatile-lfu where it holds more than the tier), or raise maxmemory",
    onlyWrites: true,
  },
  {
    code: /^(WRONGPASS|NOAUTH)\b|^ERR invalid password|^ERR AUTH\b/,
    inWords: "refuses the user or the password; see the URL, or passwordFile",
  },
  {
    code: /^NOPERM\b/,
    inWords:
      "does not allow this to its user, which needs ~lr1:* +get +set +ping (+select for a db other than 0)",
    onlyWrites: true,
  },
  { code: /^LOADING\b/, inWords: "is still reading its data from the disk" },
  { code: /^READONLY\b/, inWords: "is a replica, and takes no records", onlyWrites: true },
  {
    code: /^MISCONF\b/,
    inWords:
      "cannot write to its disk, and so takes no records; a cache needs no disk: --save '' --appendonly no",
    onlyWrites: true,
  },
  { code: /^NOREPLICAS\b/, inWords: "takes no records while it has too few replicas", onlyWrites: true },
  {
    code: /^(MOVED|ASK|CLUSTERDOWN|CROSSSLOT)\b/,
    inWords: "is one of a cluster; a tier takes a single server, or a proxy in front of the cluster",
  },
  { code: /^ERR DB index/, inWords: "has no database of that number" },
  { code: /^DENIED\b/, inWords: "is in protected mode: it needs a password, or bind and protected-mode set" },
  { code: /^(BUSY|MASTERDOWN|TRYAGAIN)\b/, inWords: "is not ready" },
];

/** Longest text of others in a message. */
const MOST_SHOWN = 160;

/**
 * An error of the client as the store's.
 * @param store how the Redis is shown
 * @param error whatever the client threw: an answer of the Redis, or of the network
 * @param secret the password, or nothing: it is not in the message, whatever the Redis answers
 */
export function redisFailure(store: string, work: RedisWork, error: unknown, secret: string): StoreError {
  const text = error instanceof Error ? error.message : String(error);
  const known = KNOWN.find(({ code }) => code.test(text));
  if (known === undefined) {
    return new StoreError("unreachable", `${store} cannot be reached: ${withoutSecret(text, secret)}.`);
  }
  const failure: StoreFailure = known.onlyWrites && work === "set" ? "full" : "unreachable";
  return new StoreError(failure, `${store} ${known.inWords}.`);
}

/** Some servers repeat what they did not understand, perhaps cut off, and it may have been the password. */
function withoutSecret(text: string, secret: string): string {
  const told = text.replace(/,? *with args.*/is, "");
  const shown = secret === "" ? told : told.replaceAll(secret, "…");
  return printable(shown).replace(/\s+/g, " ").slice(0, MOST_SHOWN).replace(/\.$/, "");
}
