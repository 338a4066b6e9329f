/**
 * Which records one load asks for, in which order, and how long a prefix it comes to. Pure: it is told what was there.
 *
 * Groups of layers that see everything come first, from the front, group by group of each block: their prefix ends at the
 * first record that is missing. Of a window only the blocks count that a sequence keeps of the prefix. They are asked for
 * from that end backwards, and one that is missing makes the prefix end at it; then what is kept of that counts.
 *
 * Always: what is whole, with what the engine has, is never less than what the engine has; and each record is asked for once.
 */
import { firstKeptBlock } from "../kernels/kv-layout.js";

/** A block of a prefix, of one group of layers. */
export interface Place {
  readonly group: number;
  readonly index: number;
}

export interface LoadRange {
  /** As in `TierAsk`. */
  readonly from: number;
  readonly to: number;
  readonly localFrom: readonly number[];
  readonly blockSize: number;
  readonly windows: readonly (number | null)[];
}

export class LoadOrder {
  readonly #range: LoadRange;
  /** Groups that see everything; their records are numbered in the order in which they are asked for. */
  readonly #wide: readonly number[];
  readonly #narrow: readonly number[];
  #asked = 0;
  /** Records up to this number are there, and were given out. */
  #given = 0;
  /** Those among the later ones that are there. */
  readonly #early = new Set<number>();
  /** No record from this number on is asked for any more. */
  #stop: number;
  /** Where the prefix ends, as far as it is known: from when groups with windows are asked for. */
  #end: number | null = null;
  readonly #ofWindows = new Set<string>();
  /** No block behind it that counts is left to be asked for. */
  #cursor = 0;
  #outstanding = 0;

  constructor(range: LoadRange) {
    this.#range = range;
    const groups = [...range.windows.keys()];
    this.#wide = groups.filter((group) => range.windows[group] === null);
    this.#narrow = groups.filter((group) => range.windows[group] !== null);
    this.#stop = Math.max(0, range.to - range.from) * this.#wide.length;
    this.#settle();
  }

  /** Records that were asked for, of which it has not been told. */
  get numOutstanding(): number {
    return this.#outstanding;
  }

  /** Whether nothing more is to come. */
  get isOver(): boolean {
    return this.#end !== null && this.#outstanding === 0 && this.next() === null;
  }

  /** Blocks of the prefix, from its beginning, of which everything is there that is kept. */
  get length(): number {
    const { from } = this.#range;
    if (this.#narrow.length === 0) return from + Math.floor(this.#given / this.#wide.length);
    return this.#end !== null && this.isOver ? Math.max(from, this.#end) : from;
  }

  /** What is to be asked for next; null: nothing, or not yet. */
  next(): Place | null {
    const { from } = this.#range;
    if (this.#end === null) return this.#asked < this.#stop ? this.#placeOf(this.#asked) : null;
    const end = this.#end;
    const last = Math.min(...this.#narrow.map((group) => this.#firstOf(group, end)));
    for (; end > from && this.#cursor >= last; this.#cursor--) {
      for (const group of this.#narrow) {
        if (this.#counts(group, this.#cursor) && !this.#ofWindows.has(keyOf(group, this.#cursor))) {
          return { group, index: this.#cursor };
        }
      }
    }
    return null;
  }

  /** It is asked for: what `next` gave. */
  ask({ group, index }: Place): void {
    this.#outstanding += 1;
    if (this.#end === null) this.#asked += 1;
    else this.#ofWindows.add(keyOf(group, index));
  }

  /**
   * A record is there.
   * @returns the places that the engine is to have now, those of one group that sees everything from the front on
   */
  found(place: Place): Place[] {
    this.#outstanding -= 1;
    if (this.#isNarrow(place)) return place.index < this.#endOrTo ? [place] : [];
    this.#early.add(this.#numberOf(place));
    const given: Place[] = [];
    for (; this.#given < this.#stop && this.#early.delete(this.#given); this.#given++) {
      given.push(this.#placeOf(this.#given));
    }
    this.#settle();
    return given;
  }

  /** A record is not there, or not to be had. */
  missing(place: Place): void {
    this.#outstanding -= 1;
    if (!this.#isNarrow(place)) {
      this.#stop = Math.min(this.#stop, this.#numberOf(place));
      this.#settle();
    } else if (place.index < this.#endOrTo) {
      this.#end = place.index;
      this.#cursor = place.index - 1;
    }
  }

  /** No further block of the groups that see everything is asked for. */
  stopHere(): void {
    if (this.#end !== null) return;
    this.#stop = Math.min(this.#stop, this.#asked);
    this.#settle();
  }

  /**
   * Records of windows that would be asked for if the prefix ended behind what was asked for so far.
   */
  get numOfWindows(): number {
    const end = this.#end ?? this.#range.from + Math.ceil(this.#asked / this.#wide.length);
    return this.#narrow.reduce((sum, group) => sum + Math.max(0, end - this.#firstOf(group, end)), 0);
  }

  get #endOrTo(): number {
    return this.#end ?? this.#range.to;
  }

  /** The prefix of the groups that see everything is known: on with the windows, if there are any. */
  #settle(): void {
    if (this.#end !== null || this.#given < this.#stop) return;
    const { from, to } = this.#range;
    this.#end = this.#wide.length === 0 ? to : from + Math.floor(this.#given / this.#wide.length);
    this.#cursor = this.#end - 1;
  }

  #isNarrow({ group }: Place): boolean {
    return this.#range.windows[group] !== null;
  }

  /** Whether it is kept of the prefix, and the engine has not got it. */
  #counts(group: number, index: number): boolean {
    const { from, localFrom } = this.#range;
    const end = this.#endOrTo;
    const isLocal = index >= localFrom[group] && index < from;
    return index < end && index >= this.#firstOf(group, end) && !isLocal;
  }

  #firstOf(group: number, end: number): number {
    return firstKeptBlock(this.#range.windows[group], end * this.#range.blockSize);
  }

  #placeOf(number: number): Place {
    const { length } = this.#wide;
    return { group: this.#wide[number % length], index: this.#range.from + Math.floor(number / length) };
  }

  #numberOf({ group, index }: Place): number {
    return (index - this.#range.from) * this.#wide.length + this.#wide.indexOf(group);
  }
}

function keyOf(group: number, index: number): string {
  return `${group}:${index}`;
}
