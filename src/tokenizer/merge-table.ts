/**
 * The merges of a byte-pair vocabulary by the two ids that they join: some twelve bytes for each, found by halving, so
 * that no list of hostile merges makes a search slow.
 */

/** Ids and ranks are below it. */
const LIMIT = 2 ** 24;

/** Merges by rank, as ids: plain data. */
export interface MergeIds {
  readonly left: Int32Array;
  readonly right: Int32Array;
  readonly merged: Int32Array;
}

/** Whether a list of merges is one of ids. No JSON is. */
export function isMergeIds(merges: unknown): merges is MergeIds {
  return (
    typeof merges === "object" && merges !== null && "left" in merges && merges.left instanceof Int32Array
  );
}

export class MergeTable {
  /** For each id, where the merges begin that it is the left part of; one more at the end. */
  readonly #first: Int32Array;
  /** right · LIMIT + rank, in order within each left part. */
  readonly #keys: Float64Array;
  readonly #merged: Int32Array;

  /** All ids are below 2^24, and so is their number. Of two merges of the same pair the later counts. */
  constructor({ left, right, merged }: MergeIds) {
    this.#merged = merged;
    const ids = left.reduce((most, id) => Math.max(most, id), -1) + 1;
    const first = new Int32Array(ids + 1);
    for (const id of left) first[id + 1]++;
    for (let id = 0; id < ids; id++) first[id + 1] += first[id];
    const place = first.slice(0, ids);
    this.#keys = new Float64Array(left.length);
    for (let rank = 0; rank < left.length; rank++) {
      this.#keys[place[left[rank]]++] = right[rank] * LIMIT + rank;
    }
    for (let id = 0; id < ids; id++) {
      if (first[id + 1] - first[id] > 1) this.#keys.subarray(first[id], first[id + 1]).sort();
    }
    this.#first = first;
  }

  /** What it was made of. */
  ids(): MergeIds {
    const [left, right] = [new Int32Array(this.#merged.length), new Int32Array(this.#merged.length)];
    for (let id = 0; id + 1 < this.#first.length; id++) {
      for (let place = this.#first[id]; place < this.#first[id + 1]; place++) {
        const rank = this.#keys[place] % LIMIT;
        left[rank] = id;
        right[rank] = (this.#keys[place] - rank) / LIMIT;
      }
    }
    return { left, right, merged: this.#merged };
  }

  /** Place in the list of the merge of two ids; −1 when there is none. */
  rankOf(left: number, right: number): number {
    if (left < 0 || left + 1 >= this.#first.length) return -1;
    const keys = this.#keys;
    const start = this.#first[left];
    const end = right * LIMIT + LIMIT;
    let low = start;
    let high = this.#first[left + 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (keys[middle] < end) low = middle + 1;
      else high = middle;
    }
    // The last below `end`: the pair's, if it has any.
    const rank = low === start ? -1 : keys[low - 1] - right * LIMIT;
    return rank >= 0 ? rank : -1;
  }

  /** The id that a merge makes. @param rank of `rankOf` */
  merged(rank: number): number {
    return this.#merged[rank];
  }

  /** Ranks of the merges that make one of some ids. */
  ranksOf(ids: ReadonlySet<number>): Set<number> {
    const ranks = new Set<number>();
    if (ids.size === 0) return ranks;
    for (let rank = 0; rank < this.#merged.length; rank++) if (ids.has(this.#merged[rank])) ranks.add(rank);
    return ranks;
  }
}
