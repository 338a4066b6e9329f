/**
 * Loads from a KV tier: which sequences that wait for their admission are asked for, what comes of it, and when it ends. A load
 * is begun where that is faster than computing, once for each time that a sequence waits; until it is over the sequence is not
 * admitted, and others go on. It ends when the tier says so, at its deadline, when no block is free, when its sequence ends, when
 * others need its blocks, or when the tier is lost: each time with what has come, which may be nothing.
 *
 * Owns the loads and their adoptions, which hold blocks until the sequence is admitted. An answer names its load; one that comes
 * late names none that is known, and is dropped.
 */
import { BLOCK_SIZE, firstKeptBlock } from "../kernels/kv-layout.js";
import type { Adoption } from "../kv-cache/adoption.js";
import type { FoundPrefix } from "../kv-cache/found-prefix.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { TierAnswer, TierAsk } from "../protocol/tier-messages.js";
import { beginAlike, comesBefore, type ScheduledSequence } from "./scheduled-sequence.js";

/** Fewer blocks are computed about as fast as they are asked for. */
const LEAST_BLOCKS = 4;
/** A load must take less than so much of what computing takes. */
const WORTH = 0.7;
/** A load that takes longer than so much of what computing takes is given up; where it was expected to, a little later. */
const LONGEST = 0.5;
const SLOWER = 1.25;
/** What a load may take of what is expected, and beyond the policy's time. */
const PATIENCE = 2;
/** What is expected of a tier whose bandwidth was not measured yet, when it is waited for: that of a network of 1 Gbit/s. */
const UNMEASURED_BYTES_PER_MS = 100_000;

/** What a tier said of itself last. */
export type TierState = Omit<Extract<TierAnswer, { type: "state" }>, "type">;

export interface LoadsParts {
  readonly kvCache: KvCache;
  /** Writes all bytes of a block. */
  readonly write: (block: number, bytes: Uint8Array) => void;
  readonly post: (ask: TierAsk) => void;
  /** Milliseconds that computing so many rows takes; null: not known. */
  readonly computeMs: (rows: number) => number | null;
  /** Milliseconds that a load may take beyond twice what is expected. */
  readonly deadlineMs: number;
  /** In milliseconds, never backwards. */
  readonly now: () => number;
  /** A block of a prefix is in the tier. */
  readonly onLoaded: (block: number) => void;
}

interface Load {
  readonly id: number;
  readonly sequence: ScheduledSequence;
  readonly salt: string;
  readonly tokens: Int32Array<ArrayBuffer>;
  readonly adoption: Adoption;
  /** Sequences that wait for it, too. */
  readonly joined: Set<ScheduledSequence>;
  readonly begunAt: number;
  readonly endsAt: number;
}

export class TierLoads {
  readonly #parts: LoadsParts;
  /** By the sequence that it was begun for: until that is admitted, or has ended. */
  readonly #held = new Map<ScheduledSequence, Load>();
  /** By id: those that are not over. */
  readonly #underWay = new Map<number, Load>();
  /** Until it has said anything, it is asked: the first prompt may come before its first word. */
  #state: TierState = { takesLoads: true, takesStores: true, bytesPerMs: null, roundTripMs: null };
  #lastId = 0;
  #numEnded = 0;
  #begun = 0;
  #joined = 0;
  #declined = 0;
  #deadlines = 0;
  #blocks = 0;
  #tokens = 0;
  #tokensAsked = 0;

  constructor(parts: LoadsParts) {
    this.#parts = parts;
  }

  get numUnderWay(): number {
    return this.#underWay.size;
  }

  /** Loads that hold blocks: those under way, and those whose sequence is still to be admitted. */
  get numHeld(): number {
    return this.#held.size;
  }

  /** Loads that have ended so far: where it changes, something may go on. */
  get numEnded(): number {
    return this.#numEnded;
  }

  /** When the next load is to be given up; null: none is under way. */
  get nextDeadline(): number | null {
    let next: number | null = null;
    for (const { endsAt } of this.#underWay.values()) next = Math.min(next ?? endsAt, endsAt);
    return next;
  }

  get stats() {
    return {
      ...{ loads: this.#begun, joined: this.#joined, declined: this.#declined },
      ...{ deadlines: this.#deadlines, blocksLoaded: this.#blocks },
      ...{ tokensAsked: this.#tokensAsked, tokensLoaded: this.#tokens },
    };
  }

  /** What the tier says of itself from now on. */
  setState(state: TierState): void {
    this.#state = state;
  }

  /**
   * Whether a sequence is to wait: for its load, or for one that brings its next block.
   * @param found blocks of its prefix that are there
   * @param most blocks that it may take
   */
  isAwaitedBy(sequence: ScheduledSequence, found: number, most: number): boolean {
    if (this.#underWay.size === 0) return false;
    for (const load of this.#underWay.values()) {
      if (load.sequence === sequence) return true;
      const end = (found + 1) * BLOCK_SIZE;
      if (found >= most || load.salt !== sequence.table.salt || load.tokens.length < end) continue;
      if (!beginAlike(load.tokens, sequence.tokens, end)) continue;
      if (!load.joined.has(sequence)) this.#joined += 1;
      load.joined.add(sequence);
      return true;
    }
    return false;
  }

  /**
   * Begins a load for a sequence that could be admitted now.
   * @param found what is there of its prefix
   * @param most blocks of it that it may take
   * @param makeRoom sees to it that so many blocks are free, as far as idle sequences can give way
   * @returns whether it has begun; if not, the sequence is to be admitted
   */
  begin(
    sequence: ScheduledSequence,
    { length }: FoundPrefix,
    most: number,
    makeRoom: (blocks: number) => void,
  ): boolean {
    const { salt } = sequence.table;
    const from = length / BLOCK_SIZE;
    if (salt === null || sequence.hasAskedTier || !this.#state.takesLoads || most - from < LEAST_BLOCKS)
      return false;
    sequence.hasAskedTier = true;
    const { kvCache, post, computeMs, deadlineMs, now } = this.#parts;
    const missing = this.#missingBlocks(from, most);
    const { bytesPerMs } = this.#state;
    // The first load is tried, since it measures the tier, and is given time.
    const expectedMs = bytesPerMs === null ? 0 : this.#expectedMs(missing, bytesPerMs);
    const ownMs = computeMs((most - from) * BLOCK_SIZE) ?? Number.POSITIVE_INFINITY;
    if (expectedMs >= WORTH * ownMs) {
      this.#declined += 1;
      return false;
    }
    this.#begun += 1;
    this.#tokensAsked += (most - from) * BLOCK_SIZE;
    this.#lastId += 1;
    const id = this.#lastId;
    const longestMs = Math.max(LONGEST * ownMs, SLOWER * expectedMs);
    const patienceMs = PATIENCE * this.#expectedMs(missing, bytesPerMs ?? UNMEASURED_BYTES_PER_MS);
    const waitMs = Math.min(deadlineMs + patienceMs, longestMs);
    const tokens = Int32Array.from(sequence.tokens.slice(0, most * BLOCK_SIZE));
    const adoption = kvCache.adopt(salt, sequence.tokens, most);
    const { localFrom } = adoption;
    makeRoom(missing);
    const joined = new Set<ScheduledSequence>();
    const begunAt = now();
    if (sequence.numCachedTokens === null) sequence.tierWait ??= { begun: begunAt, ms: 0, tokens: 0 };
    const load: Load = { id, sequence, salt, tokens, adoption, joined, begunAt, endsAt: begunAt + waitMs };
    this.#held.set(sequence, load);
    this.#underWay.set(id, load);
    post({ type: "load", id, salt, tokens, from, to: most, localFrom, deadlineMs: waitMs });
    return true;
  }

  /** Takes a block of a load in. */
  takeBlock({ id, group, index, bytes }: Extract<TierAnswer, { type: "block" }>): void {
    const load = this.#underWay.get(id);
    const { kvCache, write, onLoaded } = this.#parts;
    if (load === undefined || bytes.length !== kvCache.layout.blockBytes) return;
    const outcome = load.adoption.add(group, index, (block) => write(block, bytes));
    if (outcome === "loaded") this.#blocks += 1;
    if (outcome === "no room") this.#end(load, true);
    else if (outcome !== "unasked") onLoaded(load.adoption.heldAt(group, index));
  }

  /** The tier has said all that it has to say of a load. */
  takeEnd(id: number): void {
    const load = this.#underWay.get(id);
    if (load !== undefined) this.#end(load, false);
  }

  /** Gives up what has taken too long. @returns whether there was such a load */
  expire(): boolean {
    const now = this.#parts.now();
    const late = [...this.#underWay.values()].filter(({ endsAt }) => endsAt <= now);
    for (const load of late) {
      this.#deadlines += 1;
      this.#end(load, true);
    }
    return late.length > 0;
  }

  /** A sequence has taken what is there, or has ended: nothing is held for it any more. */
  letGo(sequence: ScheduledSequence): void {
    const load = this.#held.get(sequence);
    if (load !== undefined) this.#close(load);
    if (this.#underWay.size > 0) for (const { joined } of this.#underWay.values()) joined.delete(sequence);
  }

  /** Nothing more comes: all loads end with what they have, and none is begun. */
  lose(): void {
    this.#state = { ...this.#state, takesLoads: false, takesStores: false };
    for (const load of [...this.#underWay.values()]) this.#end(load, false);
  }

  /**
   * Blocks that sequences need beyond what is held for them, and one more of each group, for their next row.
   * @param blocksOf most blocks that a sequence takes at a time
   */
  promisedBesides(sequence: ScheduledSequence, blocksOf: (sequence: ScheduledSequence) => number): number {
    const { groups } = this.#parts.kvCache.layout;
    let promised = 0;
    for (const { sequence: other, adoption } of this.#held.values()) {
      if (other !== sequence) promised += Math.max(0, blocksOf(other) - adoption.numHeld) + groups.length;
    }
    return promised;
  }

  /** Whether anything is held for others than a sequence. */
  hasOthers(sequence: ScheduledSequence): boolean {
    return this.#held.size > (this.#held.has(sequence) ? 1 : 0);
  }

  /**
   * Gives up the load of the youngest sequence, its blocks included: they can still be found, until their space is needed.
   * @param isSpared sequences that keep theirs
   * @returns whether there was one
   */
  giveWay(isSpared: (sequence: ScheduledSequence) => boolean): boolean {
    let youngest: Load | null = null;
    for (const load of this.#held.values()) {
      if (isSpared(load.sequence)) continue;
      if (youngest === null || comesBefore(youngest.sequence, load.sequence)) youngest = load;
    }
    if (youngest === null) return false;
    this.#close(youngest);
    return true;
  }

  #close(load: Load): void {
    if (this.#underWay.has(load.id)) this.#end(load, true);
    this.#held.delete(load.sequence);
    this.#parts.kvCache.closeAdoption(load.adoption);
  }

  /** @param isGivenUp whether the tier is to be told */
  #end({ id, sequence, salt, tokens, adoption, begunAt }: Load, isGivenUp: boolean): void {
    this.#underWay.delete(id);
    this.#numEnded += 1;
    const { kvCache, post, now } = this.#parts;
    const found = kvCache.prefixBlocks(salt, tokens, adoption.to);
    const loaded = Math.max(0, found - adoption.from) * BLOCK_SIZE;
    this.#tokens += loaded;
    const wait = sequence.tierWait;
    if (wait !== null && sequence.numCachedTokens === null) {
      wait.tokens += loaded;
      wait.ms += now() - begunAt;
    }
    if (isGivenUp) post({ type: "cancel", id });
  }

  /** Blocks of all groups that are kept of `to` blocks of a prefix and that are not there. */
  #missingBlocks(from: number, to: number): number {
    const { groups } = this.#parts.kvCache.layout;
    const firstOf = (window: number | null) => Math.max(from, firstKeptBlock(window, to * BLOCK_SIZE));
    return groups.reduce((sum, { window }) => sum + to - firstOf(window), 0);
  }

  /** What so many blocks should take. */
  #expectedMs(blocks: number, bytesPerMs: number): number {
    const { blockBytes } = this.#parts.kvCache.layout;
    return (blocks * blockBytes) / bytesPerMs + (this.#state.roundTripMs ?? 0);
  }
}
