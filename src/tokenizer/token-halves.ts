/**
 * All ways to cut a token into two others, for every token of a vocabulary: a few words of memory a token, and time that grows
 * with the tokens' length in all, whatever they say. A polynomial over the characters is known for every beginning and every
 * end of a token once it is known for the beginnings; so no part of a token is made as a text of its own.
 */

/** Any odd number; a file can be made so that its tokens collide, which `onStep` bounds. */
const BASE = 0x01000193;

export class TokenHalves {
  readonly #texts: readonly string[];
  readonly #onStep: (steps: number) => void;
  /** By hash: a token's id + 1; those of one hash are a chain. */
  readonly #first: Int32Array;
  readonly #next: Int32Array;
  readonly #hashes: Int32Array;
  /** BASE to the power of the index. */
  readonly #powers: Int32Array;
  /** Hash of the first n characters of the token that is cut. */
  readonly #beginnings: Int32Array;

  /**
   * @param texts tokens by id
   * @param halves ids of those that may be halves
   * @param onStep called with the number of characters or tokens that were looked at; may throw
   */
  constructor(texts: readonly string[], halves: readonly number[], onStep: (steps: number) => void) {
    this.#texts = texts;
    this.#onStep = onStep;
    const longest = texts.reduce((most, { length }) => Math.max(most, length), 0);
    this.#beginnings = new Int32Array(longest + 1);
    this.#powers = new Int32Array(longest + 1);
    this.#powers[0] = 1;
    for (let n = 1; n <= longest; n++) this.#powers[n] = Math.imul(this.#powers[n - 1], BASE);
    this.#first = new Int32Array(2 ** (32 - Math.clz32(2 * halves.length + 1)));
    this.#next = new Int32Array(texts.length);
    this.#hashes = new Int32Array(texts.length);
    for (const id of halves) {
      const hash = this.#hash(texts[id]);
      const place = this.#place(hash);
      this.#hashes[id] = hash;
      this.#next[id] = this.#first[place];
      this.#first[place] = id + 1;
    }
  }

  /** The two ids of each way to cut a token, the shortest first half first. */
  of(id: number): [left: number, right: number][] {
    const text = this.#texts[id];
    const { length } = text;
    const whole = this.#hash(text);
    const found: [number, number][] = [];
    for (let at = 1; at < length; at++) {
      const beginning = this.#beginnings[at];
      const left = this.#find(text, beginning, 0, at);
      if (left === -1) continue;
      const end = (whole - Math.imul(beginning, this.#powers[length - at])) | 0;
      const right = this.#find(text, end, at, length);
      if (right !== -1) found.push([left, right]);
    }
    return found;
  }

  #find(text: string, hash: number, from: number, to: number): number {
    let steps = 1;
    let found = this.#first[this.#place(hash)] - 1;
    for (; found !== -1; found = this.#next[found] - 1) {
      steps++;
      const candidate = this.#texts[found];
      if (this.#hashes[found] !== hash || candidate.length !== to - from) continue;
      steps += candidate.length;
      if (text.startsWith(candidate, from)) break;
    }
    this.#onStep(steps);
    return found;
  }

  /** Leaves the hashes of all beginnings behind. */
  #hash(text: string): number {
    let hash = 0;
    for (let at = 0; at < text.length; at++) {
      hash = (Math.imul(hash, BASE) + text.charCodeAt(at) + 1) | 0;
      this.#beginnings[at + 1] = hash;
    }
    this.#onStep(text.length);
    return hash;
  }

  #place(hash: number): number {
    return (hash ^ (hash >>> 15)) & (this.#first.length - 1);
  }
}
