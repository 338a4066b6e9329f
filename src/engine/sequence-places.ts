/**
 * Where each sequence is: waiting for its admission, resident, or away. A sequence is resident from its admission until it ends
 * or is preempted; it is in one place at a time, and holds blocks only while it is resident. Owns both lists, each in the order
 * of arrival.
 */
import type { KvCache } from "../kv-cache/kv-cache.js";
import { comesBefore, type ScheduledSequence, type SequencePlace } from "./scheduled-sequence.js";

export class SequencePlaces {
  readonly #kvCache: KvCache;
  readonly #waiting: ScheduledSequence[] = [];
  readonly #resident: ScheduledSequence[] = [];
  #numMoves = 0;
  #numArrivals = 0;
  /** Called when a sequence loses its blocks. */
  readonly #onPreempted: (sequence: ScheduledSequence) => void;

  constructor(kvCache: KvCache, onPreempted: (sequence: ScheduledSequence) => void) {
    this.#kvCache = kvCache;
    this.#onPreempted = onPreempted;
  }

  get waiting(): readonly ScheduledSequence[] {
    return this.#waiting;
  }

  get resident(): readonly ScheduledSequence[] {
    return this.#resident;
  }

  /** The resident sequences that are waited for. */
  get running(): ScheduledSequence[] {
    return this.#resident.filter(({ isAwaited }) => isAwaited);
  }

  /** Moves so far, and sequences that wait anew: where it changes, something may go on that could not. */
  get numMoves(): number {
    return this.#numMoves;
  }

  /** The only way from one place to another. */
  move(sequence: ScheduledSequence, place: SequencePlace): void {
    if (sequence.place === place) return;
    if (sequence.place !== "away") removeFrom(this.#listOf(sequence.place), sequence);
    if (place !== "away") insertByArrival(this.#listOf(place), sequence);
    sequence.place = place;
    sequence.hasAskedTier = false;
    this.#numMoves += 1;
  }

  /** A sequence that waits has other tokens from now on. */
  waitAnew(sequence: ScheduledSequence): void {
    sequence.hasAskedTier = false;
    this.#numMoves += 1;
  }

  /** The place in the order of what arrives now: behind all others. */
  nextArrival(): number {
    this.#numArrivals += 1;
    return this.#numArrivals;
  }

  /** From now on a sequence comes behind all others, wherever it is. */
  arriveAnew(sequence: ScheduledSequence): void {
    const { place } = sequence;
    if (place !== "away") removeFrom(this.#listOf(place), sequence);
    sequence.arrival = this.nextArrival();
    if (place !== "away") insertByArrival(this.#listOf(place), sequence);
  }

  /** Takes a sequence's blocks away; they stay findable. It waits at its place, if it is waited for. */
  preempt(sequence: ScheduledSequence): void {
    this.#kvCache.clear(sequence.table);
    sequence.numPreemptions += 1;
    this.move(sequence, sequence.isAwaited ? "waiting" : "away");
    this.#onPreempted(sequence);
  }

  /** Takes the blocks of the idle sequence that was not used for longest; false without one. */
  preemptIdle(isSpared: (sequence: ScheduledSequence) => boolean): boolean {
    const victim = this.longestIdle(isSpared);
    if (victim === null) return false;
    this.preempt(victim);
    return true;
  }

  /** The idle sequence with blocks that was not used for longest. */
  longestIdle(isSpared: (sequence: ScheduledSequence) => boolean): ScheduledSequence | null {
    let longest: ScheduledSequence | null = null;
    for (const sequence of this.#resident) {
      if (sequence.isAwaited || isSpared(sequence) || sequence.table.numBlocks === 0) continue;
      if (longest === null || sequence.lastStep < longest.lastStep) longest = sequence;
    }
    return longest;
  }

  /** The earliest of all sequences that are waited for. */
  oldest(): ScheduledSequence | undefined {
    const resident = this.#resident.find(({ isAwaited }) => isAwaited);
    const [waiting] = this.#waiting;
    if (resident === undefined || waiting === undefined) return resident ?? waiting;
    return comesBefore(waiting, resident) ? waiting : resident;
  }

  #listOf(place: Exclude<SequencePlace, "away">): ScheduledSequence[] {
    return place === "waiting" ? this.#waiting : this.#resident;
  }
}

function insertByArrival(list: ScheduledSequence[], sequence: ScheduledSequence): void {
  const behind = list.findIndex((other) => comesBefore(sequence, other));
  if (behind === -1) list.push(sequence);
  else list.splice(behind, 0, sequence);
}

function removeFrom(list: ScheduledSequence[], sequence: ScheduledSequence): void {
  list.splice(list.indexOf(sequence), 1);
}
