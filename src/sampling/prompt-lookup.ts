/**
 * Guesses of what comes next, by looking up what came after the same words before: the drafts of speculative decoding
 * without a draft model (Saxena, "Prompt Lookup Decoding", 2023).
 *
 * Owns the tokens it was given, the place in them that it copies from, and an index of their n-grams: a tree whose nodes
 * are n-grams, where the children of a node are the n-grams one token longer. Nodes are found by (parent, token) itself,
 * not by a digest of the tokens, so two n-grams are never taken for each other. Each node knows where its n-gram ended
 * last.
 */
import { LastrowError } from "../errors.js";

export interface PromptLookupOptions {
  /** The most last tokens that are looked up together. An integer from `minNgram`; 3 when left out. */
  readonly maxNgram?: number;
  /** The fewest. An integer from 1; 1 when left out. */
  readonly minNgram?: number;
}

/** The empty n-gram. */
const ROOT = 0;
/** Of a key: (parent, token) is one integer below 2^53. */
const TOKEN_RANGE = 2 ** 26;
/** Equal tokens are counted up to here. */
const MOST_MATCHED = 16;

export class PromptLookup {
  readonly #maxNgram: number;
  readonly #minNgram: number;
  readonly #tokens: number[] = [];
  /** The child of a node by a token; nodes are numbered as they appear. */
  readonly #children = new Map<number, number>();
  /** By node: the number of tokens up to the end of its latest occurrence, that occurrence included. */
  readonly #latestEnds: number[] = [0];
  /** By n, 0 … maxNgram: the node of the last n tokens. Shorter while there are fewer tokens. */
  readonly #suffixes: number[] = [ROOT];
  /** By n, as long as `#suffixes`: `#latestEnds` of that node before the last token came; null where it is new. */
  readonly #earlierEnds: (number | null)[] = [null];
  /** Index of the token that is expected next; null without one. */
  #source: number | null = null;
  #matched = 0;

  /** @throws LastrowError `invalid_argument` naming the option that is out of its range */
  constructor({ maxNgram = 3, minNgram = 1 }: PromptLookupOptions = {}) {
    checkAtLeast("minNgram", minNgram, 1);
    checkAtLeast("maxNgram", maxNgram, minNgram);
    this.#maxNgram = maxNgram;
    this.#minNgram = minNgram;
  }

  /** The token that is expected next; null when nothing of the last tokens occurred before. */
  get expected(): number | null {
    return this.#source === null ? null : this.#tokens[this.#source]!;
  }

  /** How many of the last tokens are those before the expected one's place, up to 16; 0 when nothing is expected. */
  get matched(): number {
    return this.#matched;
  }

  /**
   * The next token of the text. Takes time in proportion to `maxNgram`, however long the text is.
   *
   * As long as the token is the expected one, what followed it there is expected next. Otherwise it is what followed the
   * latest earlier occurrence of the last n tokens, for the largest n from `maxNgram` down to `minNgram` that has one.
   * @param token id, 0 … 2^26 − 1
   */
  push(token: number): void {
    const wasExpected = this.expected === token;
    this.#index(token);
    if (wasExpected) {
      this.#source = this.#source! + 1;
      this.#matched = Math.min(MOST_MATCHED, this.#matched + 1);
    } else {
      this.#source = this.#find();
      this.#matched = this.#source === null ? 0 : this.#countMatched(this.#source);
    }
  }

  #index(token: number): void {
    this.#tokens.push(token);
    const end = this.#tokens.length;
    const longest = Math.min(this.#maxNgram, end);
    // Downwards: n needs the node that n − 1 had before this token, and n − 1 replaces it.
    for (let n = longest; n >= 1; n--) {
      const key = this.#suffixes[n - 1]! * TOKEN_RANGE + token;
      const known = this.#children.get(key);
      const node = known ?? this.#latestEnds.length;
      if (known === undefined) this.#children.set(key, node);
      this.#earlierEnds[n] = known === undefined ? null : this.#latestEnds[node]!;
      this.#latestEnds[node] = end;
      this.#suffixes[n] = node;
    }
  }

  /** Index of the token behind the occurrence; it may overlap the last tokens. */
  #find(): number | null {
    for (let n = this.#earlierEnds.length - 1; n >= this.#minNgram; n--) {
      const end = this.#earlierEnds[n]!;
      if (end !== null) return end;
    }
    return null;
  }

  #countMatched(source: number): number {
    const { length } = this.#tokens;
    const most = Math.min(MOST_MATCHED, source);
    let count = 0;
    while (count < most && this.#tokens[source - 1 - count] === this.#tokens[length - 1 - count]) count += 1;
    return count;
  }

  /**
   * The expected tokens, in their order. Where the copy reaches the text's end it goes on with what it has proposed
   * itself, so that a repetition is continued at its own period.
   * @returns `count` of them; none when nothing is expected
   */
  propose(count: number): number[] {
    if (this.#source === null) return [];
    const proposed = this.#tokens.slice(this.#source, this.#source + count);
    for (let i = 0; proposed.length < count; i++) proposed.push(proposed[i]!);
    return proposed;
  }
}

function checkAtLeast(option: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new LastrowError("invalid_argument", `${option} is ${value}; it must be an integer from ${least}.`);
  }
}
