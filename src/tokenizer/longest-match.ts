/**
 * Which of many texts begins at a place of another: the longest. Memory is a few words for each text, whatever they say,
 * and the time at a place is at most the length of the longest, so that no list of hostile tokens makes it slow.
 */
export class LongestMatch {
  /** In order of code units, each once. */
  readonly #sorted: readonly string[];
  /** For each, the longest of the others that it begins with; −1 when there is none. */
  readonly #prefixOf: Int32Array;
  readonly #firstUnits: ReadonlySet<number>;

  /** @param texts an empty one is never found */
  constructor(texts: Iterable<string>) {
    const sorted = [...new Set(texts)].filter((text) => text !== "").sort();
    this.#sorted = sorted;
    this.#firstUnits = new Set(sorted.map((text) => text.charCodeAt(0)));
    this.#prefixOf = new Int32Array(sorted.length).fill(-1);
    for (let i = 1; i < sorted.length; i++) {
      // What it begins with comes before it, and so does all that shares that beginning.
      let candidate = i - 1;
      while (candidate !== -1 && !sorted[i].startsWith(sorted[candidate]))
        candidate = this.#prefixOf[candidate];
      this.#prefixOf[i] = candidate;
    }
  }

  /** The longest of the texts that `text` has at `at`, or null. */
  at(text: string, at: number): string | null {
    if (!this.#firstUnits.has(text.charCodeAt(at))) return null;
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isAfter(this.#sorted[middle], text, at)) high = middle;
      else low = middle + 1;
    }
    // The last that does not come after: a text that begins here is it, or a beginning of it.
    let found = low - 1;
    if (found === -1) return null;
    const common = commonLength(this.#sorted[found], text, at);
    while (found !== -1 && this.#sorted[found].length > common) found = this.#prefixOf[found];
    return found === -1 ? null : this.#sorted[found];
  }
}

/** Whether `piece` comes after what `text` has at `at`. */
function isAfter(piece: string, text: string, at: number): boolean {
  const common = commonLength(piece, text, at);
  if (common === piece.length) return false;
  return at + common >= text.length || piece.charCodeAt(common) > text.charCodeAt(at + common);
}

function commonLength(piece: string, text: string, at: number): number {
  const longest = Math.min(piece.length, text.length - at);
  let length = 0;
  while (length < longest && piece.charCodeAt(length) === text.charCodeAt(at + length)) length++;
  return length;
}
