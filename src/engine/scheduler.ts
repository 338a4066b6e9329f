/**
 * Decides which rows a step computes, and makes room for them in the KV cache.
 *
 * Waiting sequences are admitted (admission.ts). Running ones get their rows first. What is left of the budget is shared by
 * those that still have a prompt to compute: equal shares, and what short ones leave goes to long ones, so that no tenant takes
 * more than half while another waits, and a short prompt's first token never waits for a long one's end. When blocks run out,
 * idle sequences lose theirs first, then the youngest: their blocks stay findable, and they resume with the same bits.
 *
 * All of this holds within a tenant. Tenants that want something at once take turns at being admitted, and each step's
 * rows, rows of logits and places are divided between them (`fairShares`). A tenant that has less than its part of the
 * KV cache takes blocks from the youngest sequences of those that have more. Only the sequence that came first of all
 * never gives way to another tenant's: so whatever fits alone comes to its end.
 *
 * Owns the order of the tenants' turns, and, in sequence-places.ts, which sequences are waiting and which are resident.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import { Admission, type AdmissionRound } from "./admission.js";
import type { EngineTier } from "./engine-tier.js";
import { type StepLimits, type StepShare, stepShares, TurnOrder } from "./fair-shares.js";
import { type BlockUse, MemoryShares } from "./memory-shares.js";
import { comesBefore, runningByTenant, type ScheduledSequence } from "./scheduled-sequence.js";
import { SequencePlaces } from "./sequence-places.js";
import type { TierLoads } from "./tier-loads.js";

/** Rows of one sequence in a step: the next `count` rows. */
export interface ScheduledRows {
  readonly sequence: ScheduledSequence;
  readonly count: number;
  /** How many of the last of them are wanted. */
  readonly wanted: number;
}

/** How many of them become logits. */
function logitsOf({ sequence, wanted }: ScheduledRows): number {
  return sequence.wantedAs === "logits" ? wanted : 0;
}

/** A step while it is planned. */
interface Plan extends AdmissionRound {
  readonly rows: ScheduledRows[];
  readonly sequences: Set<ScheduledSequence>;
}

export class Scheduler {
  readonly #kvCache: KvCache;
  readonly #limits: StepLimits;
  readonly #use: BlockUse & { readonly numBlocks: number };
  readonly #places: SequencePlaces;
  readonly #admission: Admission;
  readonly #turns = new TurnOrder();
  /** What could not go on before a load ends: `#changes` then. */
  #stalledAt: number | null = null;

  constructor(kvCache: KvCache, limits: StepLimits, onPreempted: (sequence: ScheduledSequence) => void) {
    this.#kvCache = kvCache;
    this.#limits = limits;
    const { groups, numBlocks } = kvCache.layout;
    this.#use = { groups, numBlocks, tokenBudget: limits.tokenBudget };
    this.#places = new SequencePlaces(kvCache, onPreempted);
    this.#admission = new Admission({ kvCache, places: this.#places, limits, use: this.#use });
  }

  get waiting(): readonly ScheduledSequence[] {
    return this.#places.waiting;
  }

  get resident(): readonly ScheduledSequence[] {
    return this.#places.resident;
  }

  /** The KV tier, which is asked for what is missing, and offered what is computed; null: there is none. */
  get tier(): EngineTier | null {
    return this.#admission.tier;
  }

  set tier(tier: EngineTier) {
    this.#admission.tier = tier;
  }

  /** Whether a step may have rows: a consumer waits, and not only for loads. */
  get hasWork(): boolean {
    for (const { isAwaited } of this.resident) if (isAwaited) return true;
    return this.waiting.length > 0 && this.#stalledAt !== this.#changes;
  }

  /** All that could be planned waits for a load, which will end. */
  get isStalled(): boolean {
    return this.#stalledAt === this.#changes;
  }

  get #loads(): TierLoads | null {
    return this.#admission.tier?.loads ?? null;
  }

  get #changes(): number {
    return this.#places.numMoves + (this.#loads?.numEnded ?? 0);
  }

  /** Tokens that were looked up in the prefix index. */
  get tokensQueried(): number {
    return this.#admission.tokensQueried;
  }

  /** Tokens of them whose rows were there. */
  get tokensHit(): number {
    return this.#admission.tokensHit;
  }

  /** Takes up a sequence that a consumer waits for: queues it unless it is resident. */
  await(sequence: ScheduledSequence): void {
    sequence.isAwaited = true;
    if (sequence.place === "away") this.#places.move(sequence, "waiting");
  }

  /** The place in the order of what arrives now. */
  nextArrival(): number {
    return this.#places.nextArrival();
  }

  /** What is asked of a sequence next comes behind all that was asked before. */
  arriveAnew(sequence: ScheduledSequence): void {
    this.#places.arriveAnew(sequence);
  }

  /** No consumer waits for a sequence any more: it is idle, and keeps the rows that it has. */
  leave(sequence: ScheduledSequence): void {
    sequence.isAwaited = false;
    this.#loads?.letGo(sequence);
    if (sequence.place === "waiting") this.#places.move(sequence, "away");
  }

  /** Takes up a sequence that has blocks already: a fork of a resident one, or one that is restored. */
  addResident(sequence: ScheduledSequence): void {
    this.#places.move(sequence, "resident");
  }

  /**
   * Reserves room for rows that are not computed; idle others lose theirs for it.
   * @returns whether there is room
   */
  reserve(sequence: ScheduledSequence, count: number): boolean {
    return this.#reserveAtOthersCost(sequence, () => this.#kvCache.reserve(sequence.table, count));
  }

  /** The same for what a saved sequence of `length` tokens gives: `KvCache.reserveGiven`. */
  reserveGiven(sequence: ScheduledSequence, length: number): boolean {
    return this.#reserveAtOthersCost(sequence, () => this.#kvCache.reserveGiven(sequence.table, length));
  }

  #reserveAtOthersCost(sequence: ScheduledSequence, reserve: () => boolean): boolean {
    while (!reserve()) {
      if (!this.#places.preemptIdle((other) => other === sequence)) return false;
    }
    // It may have lost its place with its blocks.
    this.#places.move(sequence, "resident");
    return true;
  }

  /**
   * Declares the next `count` reserved rows of a sequence written: full blocks can be found from now on, and the KV tier is
   * offered them.
   */
  commit(sequence: ScheduledSequence, count: number): void {
    const { table } = sequence;
    const { numPublished } = table;
    this.#kvCache.commit(table, count);
    this.tier?.computed(sequence, numPublished, table.numPublished);
  }

  /**
   * Forgets a sequence's tokens from `length` on, and their rows. Blocks that are reserved behind its other rows stay its
   * own. Where keys are gone that the next row would see, all rows are lost.
   */
  cut(sequence: ScheduledSequence, length: number): void {
    const { table } = sequence;
    if (sequence.place === "waiting" && length < table.tokens.length) {
      // What is loaded for it may be of no use any more, nor what it waits for.
      this.#loads?.letGo(sequence);
      this.#places.waitAnew(sequence);
    }
    if (length >= table.length) table.forget(length);
    else if (!this.#kvCache.truncate(table, length)) this.#resumeLater(sequence);
  }

  /** Takes all rows of a sequence, which are of no use: keys that the next one would see are gone. */
  loseRows(sequence: ScheduledSequence): void {
    this.#kvCache.clear(sequence.table);
    this.#resumeLater(sequence);
  }

  /** It has lost its rows: like one that was preempted, it resumes with what can be found. */
  #resumeLater(sequence: ScheduledSequence): void {
    if (sequence.place === "resident") this.#places.move(sequence, sequence.isAwaited ? "waiting" : "away");
  }

  /** Lets go of a sequence that has ended: its blocks are given back. */
  remove(sequence: ScheduledSequence): void {
    this.#places.move(sequence, "away");
    this.#loads?.letGo(sequence);
    this.#kvCache.free(sequence.table);
  }

  /**
   * Chooses the rows of a step, those of sequences that want logits first; their blocks are reserved. Empty only when no
   * sequence is waited for, or none but those that wait for loads.
   */
  plan(): ScheduledRows[] {
    const rows = this.#planRows();
    // What waits for no load can go on when one ends: the oldest is never kept waiting by what others' loads hold.
    const isLoading = (this.#loads?.numUnderWay ?? 0) > 0;
    this.#stalledAt = rows.length === 0 && isLoading ? this.#changes : null;
    return rows;
  }

  #planRows(): ScheduledRows[] {
    const alone = this.#planAlone();
    if (alone !== null) return alone;
    const tenants = this.#turns.of(this.#tenants());
    const plan: Plan = {
      rows: [],
      sequences: new Set(),
      tenants,
      admitted: new Set(),
      claimed: false,
      memory: null,
    };
    for (let open = this.#leastFirst(plan); open.length > 0; ) {
      open = open.filter((tenant) => this.#admission.admitNext(tenant, plan));
    }
    const running = runningByTenant(this.resident);
    const runningOf = (tenant: string) => running.get(tenant) ?? [];
    const { tokenBudget, maxLogitsRows, maxSequences } = this.#limits;
    if (tenants.length > 1) {
      const shares = stepShares(this.#limits, tenants, running);
      for (const tenant of this.#leastFirst(plan)) this.#fill(plan, runningOf(tenant), shares.get(tenant)!);
    }
    // What is left: all of it, where there is one tenant.
    const rest: StepShare = {
      rowsLeft: plan.rows.reduce((left, { count }) => left - count, tokenBudget),
      logitsLeft: plan.rows.reduce((left, rows) => left - logitsOf(rows), maxLogitsRows),
      sequencesLeft: maxSequences - plan.rows.length,
    };
    for (const tenant of tenants) this.#fill(plan, runningOf(tenant), rest);
    this.#turns.served(new Set(plan.rows.map(({ sequence }) => sequence.tenant)));
    const wantsHidden = ({ sequence }: ScheduledRows) => (sequence.wantedAs === "hidden" ? 1 : 0);
    return plan.rows.sort((a, b) => wantsHidden(a) - wantsHidden(b));
  }

  /**
   * What `plan` comes to where a single sequence wants something and needs no room of another: how most tokens are decoded, and so
   * without the lists that tell many sequences apart.
   */
  #planAlone(): ScheduledRows[] | null {
    if (this.waiting.length > 0) return null;
    let alone: ScheduledSequence | null = null;
    for (const sequence of this.resident) {
      if (!sequence.isAwaited) continue;
      if (alone !== null) return null;
      alone = sequence;
    }
    if (alone?.isDecoding !== true) return null;
    const { numPending: count, table, tenant } = alone;
    const { tokenBudget, maxLogitsRows } = this.#limits;
    if (count < 1 || count > tokenBudget || count > maxLogitsRows) return null;
    if (!this.#kvCache.reserve(table, count)) return null;
    this.#turns.only(tenant);
    return [{ sequence: alone, count, wanted: count }];
  }

  /** Those with the least memory first: others make room for them before they have rows of their own in a step. */
  #leastFirst(plan: Plan): readonly string[] {
    const { tenants } = plan;
    if (tenants.length === 1) return tenants;
    const memory = this.#admission.memoryOf(plan);
    return [...tenants].sort((a, b) => memory.usedBy(a) - memory.usedBy(b));
  }

  /** Tenants with sequences that are waited for. */
  #tenants(): Set<string> {
    const tenants = new Set<string>();
    for (const sequence of this.#places.resident) if (sequence.isAwaited) tenants.add(sequence.tenant);
    for (const { tenant } of this.#places.waiting) tenants.add(tenant);
    return tenants;
  }

  /** Gives a tenant's sequences that are not in the step yet their rows of a share. */
  #fill(plan: Plan, running: readonly ScheduledSequence[], share: StepShare): void {
    // A sequence may be preempted by an earlier one: hence the looks at its place.
    const left = () =>
      running.filter((sequence) => sequence.place === "resident" && !plan.sequences.has(sequence));
    const decoding = left().filter(({ isDecoding }) => isDecoding);
    for (const [i, sequence] of decoding.entries()) {
      // What speculation takes leaves a row for each sequence behind.
      const most = Math.max(1, Math.min(share.rowsLeft, share.logitsLeft) - (decoding.length - i - 1));
      if (sequence.place === "resident") this.#schedule(plan, share, sequence, most);
    }
    const prefilling = left().sort((a, b) => a.numPending - b.numPending);
    for (const [i, sequence] of prefilling.entries()) {
      const most = Math.max(1, Math.floor(share.rowsLeft / (prefilling.length - i)));
      if (sequence.place === "resident") this.#schedule(plan, share, sequence, most);
    }
  }

  /** Gives a sequence at most `most` rows of a share; none when there is no room. */
  #schedule(plan: Plan, share: StepShare, sequence: ScheduledSequence, most: number): void {
    if (share.sequencesLeft === 0) return;
    const start = sequence.table.length;
    const end = sequence.tokens.length;
    let count = Math.min(most, share.rowsLeft, sequence.numPending);
    const { logitsFrom, wantedAs } = sequence;
    if (wantedAs === "hidden") {
      // They need no room of their own.
    } else if (start >= logitsFrom) {
      count = Math.min(count, share.logitsLeft);
    } else if (logitsFrom === end - 1) {
      if (start + count === end && share.logitsLeft === 0) count -= 1;
    } else {
      // Several rows' logits are wanted: those before them come first, in a step of their own.
      count = Math.min(count, logitsFrom - start);
    }
    if (count < 1) return;
    const reserved = this.#makeRoom(plan, sequence, count);
    if (reserved < 1) return;
    const wanted = Math.max(0, start + reserved - Math.max(start, logitsFrom));
    const rows: ScheduledRows = { sequence, count: reserved, wanted };
    plan.rows.push(rows);
    plan.sequences.add(sequence);
    share.rowsLeft -= reserved;
    share.logitsLeft -= logitsOf(rows);
    share.sequencesLeft -= 1;
  }

  /** Reserves room for `count` rows, or for as many as there can be; preempts others, at last the sequence itself. */
  #makeRoom(plan: Plan, sequence: ScheduledSequence, count: number): number {
    const { pool } = this.#kvCache;
    while (!this.#kvCache.reserve(sequence.table, count)) {
      if (this.#places.preemptIdle((other) => other === sequence)) continue;
      // Those that wait give way to those that run.
      if (this.#loads?.giveWay(() => false)) continue;
      const victim = this.#victim(plan, sequence);
      if (victim !== null) {
        this.#places.preempt(victim);
        continue;
      }
      const { length } = sequence.table;
      const inLastBlock = Math.ceil(length / BLOCK_SIZE) * BLOCK_SIZE - length;
      const newBlocks = Math.floor(pool.numFree / this.#use.groups.length);
      const fitting = Math.min(count - 1, inLastBlock + newBlocks * BLOCK_SIZE);
      for (let fewer = fitting; fewer > 0; fewer -= BLOCK_SIZE) {
        if (this.#kvCache.reserve(sequence.table, fewer)) return fewer;
      }
      // Others that come first or are already in this step hold everything.
      if (plan.sequences.size > 0 || this.#hasRival(sequence)) this.#places.preempt(sequence);
      return 0;
    }
    return count;
  }

  /**
   * Which sequence that is waited for loses its blocks for another: the youngest, of a tenant that has more than its share,
   * where the other has less, or of its own.
   */
  #victim(plan: Plan, favoured: ScheduledSequence): ScheduledSequence | null {
    const holding = this.#places.resident.filter(
      (other) =>
        other !== favoured && other.isAwaited && !plan.sequences.has(other) && other.table.numBlocks > 0,
    );
    if (plan.tenants.length > 1) {
      // Rows of this step have got blocks meanwhile.
      const memory = new MemoryShares(this.#use, plan.tenants, this.#places.resident);
      const victim = memory.isWithin(favoured.tenant)
        ? memory.youngestBeyond(holding, this.#places.oldest())
        : null;
      if (victim !== null) return victim;
    }
    const own = holding.findLast((other) => other.tenant === favoured.tenant && comesBefore(favoured, other));
    if (own !== undefined) return own;
    return favoured === this.#places.oldest()
      ? (holding.findLast(({ tenant }) => tenant !== favoured.tenant) ?? null)
      : null;
  }

  #hasRival(sequence: ScheduledSequence): boolean {
    return this.#places.resident.some(
      (other) =>
        other !== sequence &&
        other.isAwaited &&
        (other.tenant !== sequence.tenant || comesBefore(other, sequence)),
    );
  }
}
