/**
 * Byte-pair encoding: a word's characters, then pairs of neighbours joined by the list of merges, the earliest of the
 * list first, and of two places the one on the left. Works on ids, as Hugging Face's tokenizers (Rust) do, and gives
 * what they give, byte tokens and unknown characters included.
 *
 * Not the JavaScript library's, which takes 20 seconds for a megabyte where nothing cuts a text into words (as in
 * Gemma's), cuts bytes and unknown characters only after the merges, and keeps each merge as a text of its own. Owns the
 * table of merges. Always: time is n log n in the length of a word, whatever the merges say.
 */
import type { MergeTable } from "./merge-table.js";

export interface BytePairOptions {
  /** Added to the last character of each word before it is looked up; empty: nothing. */
  readonly endOfWordSuffix: string;
  /** What a character outside of the vocabulary becomes; null when the vocabulary does not have it. */
  readonly unknownId: number | null;
  /** Neighbouring unknown characters of a word become one. */
  readonly fuseUnknown: boolean;
  /** A character outside of the vocabulary becomes its bytes, where the vocabulary has all of them. */
  readonly byteFallback: boolean;
  /** A word that is a piece is that piece, whatever the merges say. */
  readonly ignoreMerges: boolean;
}

/** The id of a piece, undefined when there is none. */
type IdOf = (piece: string) => number | undefined;

/** A character that has no id. */
const NONE = -1;
/** Positions in a word are below it: no JavaScript string is as long. With a rank in front they make one exact number. */
const MAX_LENGTH = 2 ** 29;
/** Symbols of the words for which no memory is taken anew. */
const SHORT = 256;

const encoder = new TextEncoder();

export class BytePairs {
  readonly #idOf: IdOf;
  readonly #merges: MergeTable;
  readonly #options: BytePairOptions;
  readonly #short = new Word(SHORT);
  readonly #shortSymbols = new Int32Array(SHORT);

  /** @param idOf ids of the vocabulary's pieces; it must not change */
  constructor(idOf: IdOf, merges: MergeTable, options: BytePairOptions) {
    this.#idOf = idOf;
    this.#merges = merges;
    this.#options = options;
  }

  /**
   * Encodes words with some pieces out of reach: no character and no merge becomes one.
   * @returns the ids of words; undefined for a character that has none
   */
  without(unreachable: ReadonlySet<number>): (words: readonly string[]) => (number | undefined)[] {
    const idOf: IdOf = (piece) => {
      const id = this.#idOf(piece);
      return id === undefined || unreachable.has(id) ? undefined : id;
    };
    const barred = this.#merges.ranksOf(unreachable);
    return (words) => {
      const ids: (number | undefined)[] = [];
      for (const word of words) this.#encode(word, idOf, barred, ids);
      return ids;
    };
  }

  #encode(text: string, idOf: IdOf, barred: ReadonlySet<number>, ids: (number | undefined)[]): void {
    if (this.#options.ignoreMerges) {
      const id = idOf(text);
      if (id !== undefined) {
        ids.push(id);
        return;
      }
    }
    const { byteFallback, endOfWordSuffix } = this.#options;
    // A symbol for each character; or one for each of its bytes, of which there are three at most for a UTF-16 unit.
    const longest = (byteFallback ? 3 : 1) * (text.length + endOfWordSuffix.length);
    const room = longest <= SHORT ? this.#shortSymbols : new Int32Array(longest);
    const symbols = room.subarray(0, this.#split(text, idOf, room));
    const word = symbols.length <= SHORT ? this.#short : new Word(symbols.length);
    word.merge(symbols, this.#merges, barred);
    word.appendTo(ids);
  }

  /** Writes the first symbols of a word; returns how many they are. */
  #split(text: string, idOf: IdOf, symbols: Int32Array): number {
    let count = 0;
    const { unknownId, fuseUnknown, byteFallback, endOfWordSuffix } = this.#options;
    const unknown = unknownId ?? NONE;
    let hasUnknown = false;
    for (let at = 0; at < text.length; ) {
      const character = String.fromCodePoint(text.codePointAt(at)!);
      at += character.length;
      const symbol = at === text.length ? character + endOfWordSuffix : character;
      const id = idOf(symbol);
      if (id === undefined) {
        const bytes = byteFallback ? byteIds(symbol, idOf) : null;
        if (bytes !== null) {
          // In front of an unknown character that has not ended, as in the original.
          for (const byte of bytes) symbols[count++] = byte;
          continue;
        }
        if (hasUnknown && !fuseUnknown) symbols[count++] = unknown;
        hasUnknown = true;
        continue;
      }
      if (hasUnknown) symbols[count++] = unknown;
      hasUnknown = false;
      symbols[count++] = id;
    }
    if (hasUnknown) symbols[count++] = unknown;
    return count;
  }
}

/** `<0xE4>` and so on; null unless all are there. */
function byteIds(symbol: string, idOf: IdOf): number[] | null {
  const ids: number[] = [];
  for (const byte of encoder.encode(symbol)) {
    const id = idOf(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    if (id === undefined) return null;
    ids.push(id);
  }
  return ids;
}

/** The symbols of one word, as a list in which neighbours become one. */
class Word {
  #length = 0;
  #id: Int32Array = new Int32Array();
  /** Where the next and the one before begin; the length and −1 at the ends. */
  readonly #next: Int32Array;
  readonly #before: Int32Array;
  /** Rank of the merge with the next; −1 when there is none, or when the symbol is part of one before it. */
  readonly #rank: Int32Array;
  /**
   * Places to merge, the first to be merged on top, each rank · MAX_LENGTH + position. One whose rank is not the place's
   * any more does not count.
   */
  readonly #heap: Float64Array;
  #heapSize = 0;

  constructor(longest: number) {
    this.#next = new Int32Array(longest);
    this.#before = new Int32Array(longest);
    this.#rank = new Int32Array(longest);
    // One for each pair, and two for each merge.
    this.#heap = new Float64Array(3 * longest);
  }

  appendTo(ids: (number | undefined)[]): void {
    for (let at = 0; at < this.#length; at = this.#next[at]) {
      ids.push(this.#id[at] === NONE ? undefined : this.#id[at]);
    }
  }

  /** @param symbols at most as many as there is room for; they are overwritten */
  merge(symbols: Int32Array, merges: MergeTable, barred: ReadonlySet<number>): void {
    const { length } = symbols;
    this.#id = symbols;
    this.#length = length;
    this.#heapSize = 0;
    for (let at = 0; at < length; at++) {
      this.#next[at] = at + 1;
      this.#before[at] = at - 1;
    }
    for (let at = 0; at < length; at++) this.#rankAt(at, merges, barred);
    while (this.#heapSize > 0) {
      const top = this.#pop();
      const rank = Math.floor(top / MAX_LENGTH);
      const at = top - rank * MAX_LENGTH;
      if (this.#rank[at] !== rank) continue;
      const joined = this.#next[at];
      const next = this.#next[joined];
      this.#id[at] = merges.merged(rank);
      this.#rank[joined] = -1;
      this.#next[at] = next;
      if (next < length) this.#before[next] = at;
      this.#rankAt(at, merges, barred);
      if (this.#before[at] >= 0) this.#rankAt(this.#before[at], merges, barred);
    }
  }

  /** Looks up the pair that begins at a place. */
  #rankAt(at: number, merges: MergeTable, barred: ReadonlySet<number>): void {
    const next = this.#next[at];
    let rank = next < this.#length ? merges.rankOf(this.#id[at], this.#id[next]) : -1;
    if (rank >= 0 && barred.has(rank)) rank = -1;
    this.#rank[at] = rank;
    if (rank >= 0) this.#add(rank * MAX_LENGTH + at);
  }

  #add(key: number): void {
    const heap = this.#heap;
    let place = this.#heapSize++;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (heap[parent] <= key) break;
      heap[place] = heap[parent];
      place = parent;
    }
    heap[place] = key;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0];
    const size = --this.#heapSize;
    const last = heap[size];
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1] < heap[child]) child++;
      if (heap[child] >= last) break;
      heap[place] = heap[child];
      place = child;
    }
    heap[place] = last;
    return top;
  }
}
