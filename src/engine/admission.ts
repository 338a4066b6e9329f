/**
 * Which waiting sequence is admitted, and what gives way for it. Within a tenant in the order of arrival, when all rows fit
 * beside those that run; one whose next block another is computing just now waits for it, so that prompts that begin alike and
 * arrive together compute their beginning once. Where a KV tier may have what is missing, it is asked first, and meanwhile others
 * go on. Tenants have equal parts of the places and of the KV cache.
 *
 * Owns the counters of what was looked up and found.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import { blocksFor } from "../kv-cache/block-needs.js";
import type { FoundPrefix } from "../kv-cache/found-prefix.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { EngineTier } from "./engine-tier.js";
import type { StepLimits } from "./fair-shares.js";
import { type BlockUse, MemoryShares, promisedBlocks } from "./memory-shares.js";
import { beginAlike, comesBefore, type ScheduledSequence } from "./scheduled-sequence.js";
import type { SequencePlaces } from "./sequence-places.js";

/** The admissions before a step. */
export interface AdmissionRound {
  /** Tenants with sequences that are waited for, in the order of their turns. */
  readonly tenants: readonly string[];
  /** What was admitted. */
  readonly admitted: Set<ScheduledSequence>;
  /** A tenant waits for memory of its share: no tenant beyond its own share gets what becomes free. */
  claimed: boolean;
  /** What `Admission.memoryOf` has counted, after so many moves; null before. */
  memory: { readonly shares: MemoryShares; readonly numMoves: number } | null;
}

export interface AdmissionParts {
  readonly kvCache: KvCache;
  readonly places: SequencePlaces;
  readonly limits: StepLimits;
  readonly use: BlockUse & { readonly numBlocks: number };
}

export class Admission {
  readonly #kvCache: KvCache;
  readonly #places: SequencePlaces;
  readonly #limits: StepLimits;
  readonly #use: AdmissionParts["use"];
  /** Null: there is no KV tier. */
  tier: EngineTier | null = null;
  #tokensQueried = 0;
  #tokensHit = 0;

  constructor({ kvCache, places, limits, use }: AdmissionParts) {
    this.#kvCache = kvCache;
    this.#places = places;
    this.#limits = limits;
    this.#use = use;
  }

  /** Tokens that were looked up in the prefix index. */
  get tokensQueried(): number {
    return this.#tokensQueried;
  }

  /** Tokens of them whose rows were there. */
  get tokensHit(): number {
    return this.#tokensHit;
  }

  /**
   * Admits the next waiting sequence of a tenant, if there is a place for it and it fits beside those that run. One that
   * waits for a block that is being computed lets others go first.
   */
  admitNext(tenant: string, round: AdmissionRound): boolean {
    const { maxSequences } = this.#limits;
    if (this.#places.waiting.length === 0) return false;
    const { running } = this.#places;
    const own = running.filter((sequence) => sequence.tenant === tenant);
    // However many places the others have taken, a tenant has its share of them.
    const places = Math.max(1, Math.floor(maxSequences / round.tenants.length));
    if (running.length >= maxSequences && own.length >= places) return false;
    const waiting = this.#places.waiting
      .filter((sequence) => sequence.tenant === tenant)
      .slice(0, maxSequences);
    const loads = this.tier?.loads ?? null;
    const sequence = waiting.find((candidate) => {
      const most = mostFound(candidate);
      const found = this.#kvCache.prefixBlocks(candidate.table.salt, candidate.tokens, most);
      if (loads?.isAwaitedBy(candidate, found, most)) return false;
      return found === most || !isComputedBy(own, candidate, found);
    });
    if (sequence === undefined || !this.#makePlace(sequence, round)) return false;
    const prefix = this.#findPrefix(sequence);
    const most = mostFound(sequence);
    const hasPlaces = loads !== null && running.length + loads.numHeld < maxSequences;
    // It waits for what is loaded, and those behind it may go first.
    if (hasPlaces && loads.begin(sequence, prefix, most, (blocks) => this.#freeOfIdle(blocks))) return true;
    const { tokens, table } = sequence;
    this.#kvCache.attach(table, prefix);
    this.tier?.admitted(sequence);
    this.#places.move(sequence, "resident");
    round.admitted.add(sequence);
    if (table.salt !== null) {
      this.#tokensQueried += tokens.length;
      this.#tokensHit += table.length;
    }
    sequence.numCachedTokens ??= table.length;
    return true;
  }

  /** What tenants have in a round. While sequences are admitted none gets blocks without a move: so it is counted once for each. */
  memoryOf(round: AdmissionRound): MemoryShares {
    const { resident, numMoves } = this.#places;
    if (round.memory?.numMoves !== numMoves) {
      round.memory = { shares: new MemoryShares(this.#use, round.tenants, resident), numMoves };
    }
    return round.memory.shares;
  }

  /** Most blocks that a waiting sequence's rows take at a time, wherever they are found or computed. */
  #blocksOf({ tokens }: ScheduledSequence): number {
    const { groups, tokenBudget } = this.#use;
    return blocksFor(groups, tokens.length, Math.min(tokens.length, tokenBudget));
  }

  #findPrefix(sequence: ScheduledSequence): FoundPrefix {
    return this.#kvCache.findPrefix(sequence.table.salt, sequence.tokens, mostFound(sequence));
  }

  /** Whether all rows of a sequence fit beside those that run; others give way for it. */
  #makePlace(sequence: ScheduledSequence, round: AdmissionRound): boolean {
    for (;;) {
      const { running } = this.#places;
      if (running.length === 0 && this.tier?.loads.hasOthers(sequence) !== true) return true;
      // Those that are found and free are taken off the free ones, too. Blocks that are given back are free, not gone.
      const { blocks, free } = this.#findPrefix(sequence);
      const all = this.#blocksOf(sequence);
      const needed = all - blocks.length + free;
      const promised = running.reduce((sum, other) => sum + promisedBlocks(this.#use, other), 0);
      const loading = this.tier?.loads.promisedBesides(sequence, (other) => this.#blocksOf(other)) ?? 0;
      const fits = needed + promised + loading <= this.#kvCache.pool.numFree;
      if (round.tenants.length === 1 && fits) return true;
      const memory = this.memoryOf(round);
      const isOwed = memory.hasRoomFor(sequence.tenant, all, blocks);
      if (round.claimed && !isOwed) return false;
      if (fits) return true;
      if (this.#places.preemptIdle(() => false) || this.#giveWay(sequence, isOwed)) continue;
      const others = running.filter(
        (other) => other.tenant !== sequence.tenant && !round.admitted.has(other),
      );
      let victim: ScheduledSequence | null | undefined = null;
      if (isOwed) {
        victim = memory.youngestBeyond(others, this.#places.oldest());
        round.claimed ||= victim === null;
      } else if (memory.usedBy(sequence.tenant) === 0 && sequence === this.#places.oldest()) {
        // It takes more than a share: so it waited until it came first.
        victim = others.at(-1);
      }
      if (victim == null) return false;
      this.#places.preempt(victim);
    }
  }

  /** Idle sequences lose their blocks until so many are free. */
  #freeOfIdle(blocks: number): void {
    while (this.#kvCache.pool.numFree < blocks && this.#places.preemptIdle(() => false));
  }

  /**
   * Ends a load of a sequence behind this one, or of another tenant's where this one is owed room. If a load could hold room that
   * the first in the queue needs, nothing would go on.
   */
  #giveWay(sequence: ScheduledSequence, isOwed: boolean): boolean {
    const isSpared = (other: ScheduledSequence) =>
      !comesBefore(sequence, other) && !(isOwed && other.tenant !== sequence.tenant);
    return this.tier?.loads.giveWay(isSpared) ?? false;
  }
}

/** Blocks that a sequence may take of what is there: what becomes logits is computed. */
function mostFound({ logitsFrom, tokens }: ScheduledSequence): number {
  return Math.floor(Math.min(logitsFrom, tokens.length - 1) / BLOCK_SIZE);
}

/** Whether one of these is about to compute and publish block `index` of a sequence, and all before it. */
function isComputedBy(
  running: readonly ScheduledSequence[],
  { tokens, table: { salt } }: ScheduledSequence,
  index: number,
): boolean {
  const end = (index + 1) * BLOCK_SIZE;
  if (salt === null) return false;
  return running.some(
    (other) =>
      other.table.salt === salt &&
      other.table.length < end &&
      other.tokens.length >= end &&
      beginAlike(other.tokens, tokens, end),
  );
}
