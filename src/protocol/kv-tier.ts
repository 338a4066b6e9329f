/**
 * A KV tier as a model is given it: blocks of K and V that engines share beyond one process. An engine asks it through a port,
 * thread to thread; what connected it asks for counters, and closes it.
 */
import type { ThreadPort } from "./port.js";
import type { TierIdentity } from "./tier-messages.js";

/** Blocks of K and V that several engines share: made by `lastrow/tier`, and given to `load`. */
export interface KvTier {
  /**
   * Connects an engine. A store that cannot be reached is no error: then nothing is found until it can be.
   * @param identity what the engine's blocks depend on: it finds those of its equals
   * @throws LastrowError for files and folders that cannot be used, `runtime_unsupported` where a package is missing
   */
  connect(identity: TierIdentity): Promise<TierConnection>;
  /**
   * Tries it without an engine, so that what would keep one from being connected is known before there is one.
   * @returns why its store is of no use now, in a sentence that holds no secret; null: it answers
   * @throws as `connect`
   */
  check(): Promise<string | null>;
  /**
   * The salt of a tenant, by its name: the same wherever the tier's key is, and not to be guessed without it. Servers give it to
   * their keys' owners, so that a name finds its blocks on all of them.
   */
  tenantSalt(name: string): string;
}

/** One engine's way to a tier. */
export interface TierConnection {
  /** The engine's end, which goes to the engine's thread: it carries `TierAsk` one way, `TierAnswer` the other. */
  readonly port: ThreadPort;
  /** What the engine has to keep to. */
  readonly policy: TierPolicy;
  /** Counters since it was connected. Never rejects, and never waits for the store. */
  stats(): Promise<TierStats>;
  /** Lets go of it: what has not been written is dropped. Never rejects. Calling it twice is fine. */
  close(): Promise<void>;
}

/** What an engine asks of a tier, and when. */
export interface TierPolicy {
  /**
   * Which blocks of prompts are offered: `first`, when they are computed; `second`, when another request takes them, too;
   * `auto`, the first time those of prefixes of 256 tokens or more, the second time shorter ones.
   */
  readonly write: "auto" | "first" | "second";
  /** Milliseconds that a load may take beyond twice what it is expected to. */
  readonly deadlineMs: number;
}

/** Why a record was not taken: it is a miss, and counted. */
export type RejectReason = "length" | "format" | "namespace" | "authentication" | "position" | "tokens";

/** Counters of a tier since an engine was connected to it. */
export interface TierStats {
  /** Records that were read and verified. */
  readonly hits: number;
  /** Records that were asked for and are not there. */
  readonly misses: number;
  /** Records that were read and not taken, by what was wrong with them. */
  readonly rejected: Readonly<Record<RejectReason, number>>;
  /** Loads that the engine asked for. */
  readonly loads: number;
  /** Those of them that ended at their deadline. */
  readonly timeouts: number;
  /** Bytes of records that came, sound or not. */
  readonly bytesRead: number;
  /** Bytes of records that were written. */
  readonly bytesWritten: number;
  /** Records that were written. */
  readonly written: number;
  /** Those that were not, since they are known to be there. */
  readonly skippedWrites: number;
  /** Those that were given up: too many waited, the store was full or could not be reached. */
  readonly droppedWrites: number;
  /** What loads took, in seconds: `counts[i]` took at most `buckets[i]`, and no more than the one before allows. */
  readonly loadSeconds: {
    readonly buckets: readonly number[];
    readonly counts: readonly number[];
    readonly sum: number;
    readonly count: number;
  };
  /** Whether the store is asked: `open`, not now; `half-open`, it is tried. */
  readonly breaker: "closed" | "open" | "half-open";
  /** What its thread was lost by, as the end of a sentence; null: it works. The model goes on without it. */
  readonly lost: string | null;
  /** Why the store is of no use now, or of less, in a sentence that holds no secret; null: all is well. */
  readonly problem: string | null;
}
