/**
 * Decides which rows a step computes, and makes room for them in the KV cache.
 *
 * Running sequences get their rows first. What is left of the budget is shared by those that still have a prompt to
 * compute: equal shares, and what short ones leave goes to long ones, so that nobody takes more than half while another
 * waits, and a short prompt's first token never waits for a long one's end. Waiting sequences are admitted in the order
 * of their arrival, when all their rows fit beside those that run; one whose next block another is computing just now
 * waits for it, so that prompts that begin alike and arrive together compute their beginning once. When blocks run out,
 * sequences that nobody waits for lose theirs first, then the youngest: their blocks stay findable, and they resume with
 * the same bits.
 *
 * Owns who is waiting and who is resident. A sequence is resident from its admission until it ends or is preempted; it is
 * in one place at a time, and holds blocks only there.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { ScheduledSequence, SequencePlace } from "./scheduled-sequence.js";

export interface StepLimits {
  /** Rows of a step. */
  readonly tokenBudget: number;
  /** Sequences in a step. */
  readonly maxSequences: number;
  /** Rows of logits of a step. */
  readonly maxLogitsRows: number;
}

/** Rows of one sequence in a step: the `count` rows behind those that it has. */
export interface ScheduledRows {
  readonly sequence: ScheduledSequence;
  readonly count: number;
  /** How many of the last of them become logits. */
  readonly wanted: number;
}

/** What is left of a step's limits while it is planned. */
interface Plan {
  readonly rows: ScheduledRows[];
  readonly sequences: Set<ScheduledSequence>;
  rowsLeft: number;
  logitsLeft: number;
}

export class Scheduler {
  readonly #kvCache: KvCache;
  readonly #limits: StepLimits;
  /** By arrival, both. */
  readonly #waiting: ScheduledSequence[] = [];
  readonly #resident: ScheduledSequence[] = [];
  /** Called when a sequence loses its blocks. */
  readonly #onPreempted: (sequence: ScheduledSequence) => void;
  #tokensQueried = 0;
  #tokensHit = 0;

  constructor(kvCache: KvCache, limits: StepLimits, onPreempted: (sequence: ScheduledSequence) => void) {
    this.#kvCache = kvCache;
    this.#limits = limits;
    this.#onPreempted = onPreempted;
  }

  get waiting(): readonly ScheduledSequence[] {
    return this.#waiting;
  }

  get resident(): readonly ScheduledSequence[] {
    return this.#resident;
  }

  /** Tokens that were looked up in the prefix index. */
  get tokensQueried(): number {
    return this.#tokensQueried;
  }

  /** Tokens of them whose rows were there. */
  get tokensHit(): number {
    return this.#tokensHit;
  }

  /** Takes up a sequence that someone waits for. One that is resident goes on where it is. */
  await(sequence: ScheduledSequence): void {
    sequence.isAwaited = true;
    if (sequence.place === "away") this.#move(sequence, "waiting");
  }

  /** Takes up a sequence that has blocks already: a fork of a resident one, or one that is restored. */
  addResident(sequence: ScheduledSequence): void {
    this.#move(sequence, "resident");
  }

  /**
   * Reserves room for rows that are not computed; others that nobody waits for lose theirs for it.
   * @returns whether there is room
   */
  reserve(sequence: ScheduledSequence, count: number): boolean {
    while (!this.#kvCache.reserve(sequence.table, count)) {
      if (!this.#preemptIdle((other) => other === sequence)) return false;
    }
    // It may have lost its place with its blocks.
    this.#move(sequence, "resident");
    return true;
  }

  /** Lets go of a sequence that has ended. */
  remove(sequence: ScheduledSequence): void {
    this.#move(sequence, "away");
  }

  /** The only way from one place to another. */
  #move(sequence: ScheduledSequence, place: SequencePlace): void {
    if (sequence.place === place) return;
    if (sequence.place !== "away") removeFrom(this.#listOf(sequence.place), sequence);
    if (place !== "away") insertByArrival(this.#listOf(place), sequence);
    sequence.place = place;
  }

  #listOf(place: Exclude<SequencePlace, "away">): ScheduledSequence[] {
    return place === "waiting" ? this.#waiting : this.#resident;
  }

  /**
   * Chooses the rows of a step; their blocks are reserved. Empty only when nobody waits for anything.
   */
  plan(): ScheduledRows[] {
    const { tokenBudget, maxLogitsRows } = this.#limits;
    const plan: Plan = { rows: [], sequences: new Set(), rowsLeft: tokenBudget, logitsLeft: maxLogitsRows };
    // A sequence may be preempted by an earlier one of this loop: hence the copy, and the look at its place.
    const decoding = this.#resident.filter((sequence) => sequence.isAwaited && sequence.isDecoding);
    for (const [i, sequence] of decoding.entries()) {
      // What speculation takes leaves a row for everyone behind.
      const most = Math.max(1, Math.min(plan.rowsLeft, plan.logitsLeft) - (decoding.length - i - 1));
      if (sequence.place === "resident") this.#schedule(plan, sequence, most);
    }
    this.#admit(plan);
    const prefilling = this.#resident
      .filter((sequence) => sequence.isAwaited && !plan.sequences.has(sequence))
      .sort((a, b) => a.numPending - b.numPending || a.arrival - b.arrival);
    for (const [i, sequence] of prefilling.entries()) {
      const share = Math.floor(plan.rowsLeft / (prefilling.length - i));
      if (sequence.place === "resident") this.#schedule(plan, sequence, Math.max(1, share));
    }
    return plan.rows;
  }

  /** Gives a sequence at most `most` rows of the step; none when there is no room. */
  #schedule(plan: Plan, sequence: ScheduledSequence, most: number): void {
    if (plan.sequences.size >= this.#limits.maxSequences) return;
    const start = sequence.table.length;
    const end = sequence.tokens.length;
    let count = Math.min(most, plan.rowsLeft, sequence.numPending);
    const { logitsFrom } = sequence;
    if (start >= logitsFrom) {
      count = Math.min(count, plan.logitsLeft);
    } else if (logitsFrom === end - 1) {
      if (start + count === end && plan.logitsLeft === 0) count -= 1;
    } else {
      // Several rows' logits are wanted: those before them come first, in a step of their own.
      count = Math.min(count, logitsFrom - start);
    }
    if (count < 1) return;
    const reserved = this.#makeRoom(plan, sequence, count);
    if (reserved < 1) return;
    const wanted = Math.max(0, start + reserved - Math.max(start, logitsFrom));
    plan.rows.push({ sequence, count: reserved, wanted });
    plan.sequences.add(sequence);
    plan.rowsLeft -= reserved;
    plan.logitsLeft -= wanted;
  }

  /** Reserves room for `count` rows, or for as many as there can be; preempts others, at last the sequence itself. */
  #makeRoom(plan: Plan, sequence: ScheduledSequence, count: number): number {
    const { pool } = this.#kvCache;
    while (!this.#kvCache.reserve(sequence.table, count)) {
      const victim = this.#victim(plan, sequence);
      if (victim !== null) {
        this.#preempt(victim);
        continue;
      }
      const { length } = sequence.table;
      const inLastBlock = Math.ceil(length / BLOCK_SIZE) * BLOCK_SIZE - length;
      const fitting = Math.min(count - 1, inLastBlock + pool.numFree * BLOCK_SIZE);
      for (let fewer = fitting; fewer > 0; fewer -= BLOCK_SIZE) {
        if (this.#kvCache.reserve(sequence.table, fewer)) return fewer;
      }
      // Others that are older or already in this step hold everything.
      if (plan.sequences.size > 0 || this.#hasOlder(sequence)) this.#preempt(sequence);
      return 0;
    }
    return count;
  }

  /** Who loses its blocks for another: one that nobody waits for, longest unused first; or else the youngest. */
  #victim(plan: Plan, favoured: ScheduledSequence): ScheduledSequence | null {
    let victim: ScheduledSequence | null = null;
    for (const sequence of this.#resident) {
      if (sequence === favoured || plan.sequences.has(sequence) || sequence.table.blockIds.length === 0)
        continue;
      if (sequence.isAwaited) {
        const isYounger = sequence.arrival > favoured.arrival || favoured.isAwaited === false;
        if (isYounger && (victim === null || victim.isAwaited)) victim = sequence;
      } else if (victim === null || victim.isAwaited || sequence.lastStep < victim.lastStep) {
        victim = sequence;
      }
    }
    return victim;
  }

  #hasOlder(sequence: ScheduledSequence): boolean {
    return this.#resident.some(
      (other) => other !== sequence && other.isAwaited && other.arrival <= sequence.arrival,
    );
  }

  /** Takes a sequence's blocks away; they stay findable. It waits at its place, if anyone waits for it. */
  #preempt(sequence: ScheduledSequence): void {
    this.#kvCache.truncate(sequence.table, 0);
    sequence.numPreemptions += 1;
    this.#move(sequence, sequence.isAwaited ? "waiting" : "away");
    this.#onPreempted(sequence);
  }

  /**
   * Admits waiting sequences, first come first served, as long as they fit beside those that run. One that waits for a
   * block that is being computed lets others go first.
   */
  #admit(plan: Plan): void {
    const { pool } = this.#kvCache;
    let passedOver = 0;
    for (;;) {
      const sequence = this.#waiting[passedOver];
      if (sequence === undefined || passedOver === this.#limits.maxSequences) return;
      const running = this.#resident.filter(({ isAwaited }) => isAwaited);
      if (running.length >= this.#limits.maxSequences) return;
      const { tokens, table } = sequence;
      const maxBlocks = Math.floor(Math.min(sequence.logitsFrom, tokens.length - 1) / BLOCK_SIZE);
      let found = this.#kvCache.findPrefix(table.salt, tokens, maxBlocks);
      if (found.blocks.length < maxBlocks && isComputedBy(running, sequence, found.blocks.length)) {
        passedOver += 1;
        continue;
      }
      if (running.length > 0) {
        // Room for what is still to come of those that run, and for one more block of each.
        const promised = running.reduce((sum, other) => sum + missingBlocks(other) + 1, 0);
        const needed = blocksFor(tokens.length) - found.blocks.length + found.free + promised;
        while (needed > pool.numFree && this.#preemptIdle((other) => plan.sequences.has(other))) {
          // Blocks that were given back are free, not gone: what was found is still there.
        }
        if (needed > pool.numFree) return;
        found = this.#kvCache.findPrefix(table.salt, tokens, maxBlocks);
      }
      this.#kvCache.attach(table, found, tokens);
      this.#move(sequence, "resident");
      if (table.salt !== null) {
        this.#tokensQueried += tokens.length;
        this.#tokensHit += table.length;
      }
      sequence.numCachedTokens ??= table.length;
    }
  }

  /** Takes the blocks of the sequence that nobody waits for and that was not used for longest; false without one. */
  #preemptIdle(isSpared: (sequence: ScheduledSequence) => boolean): boolean {
    let victim: ScheduledSequence | null = null;
    for (const sequence of this.#resident) {
      if (sequence.isAwaited || isSpared(sequence) || sequence.table.blockIds.length === 0) continue;
      if (victim === null || sequence.lastStep < victim.lastStep) victim = sequence;
    }
    if (victim === null) return false;
    this.#preempt(victim);
    return true;
  }
}

function blocksFor(rows: number): number {
  return Math.ceil(rows / BLOCK_SIZE);
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

function beginAlike(a: readonly number[], b: readonly number[], length: number): boolean {
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function missingBlocks({ tokens, table }: ScheduledSequence): number {
  return Math.max(0, blocksFor(tokens.length) - table.blockIds.length);
}

function insertByArrival(list: ScheduledSequence[], sequence: ScheduledSequence): void {
  const behind = list.findIndex((other) => other.arrival > sequence.arrival);
  if (behind === -1) list.push(sequence);
  else list.splice(behind, 0, sequence);
}

function removeFrom(list: ScheduledSequence[], sequence: ScheduledSequence): void {
  list.splice(list.indexOf(sequence), 1);
}
