/**
 * Guesses of what comes next, by looking up what came after the same words before: the drafts of speculative decoding
 * without a draft model (Saxena, "Prompt Lookup Decoding", 2023).
 *
 * Owns the tokens it was given and an index of their n-grams: a tree whose nodes are n-grams, where the children of a
 * node are the n-grams one token longer. Nodes are found by (parent, token) itself, not by a digest of the tokens, so
 * two n-grams are never taken for each other. Each node knows where its n-gram ended last.
 */
import { LastrowError } from "../errors.js";

export interface PromptLookupOptions {
  /** K: the most tokens to propose. An integer from 1. */
  readonly maxTokens: number;
  /** The most last tokens that are looked up together. An integer from `minNgram`; 3 when left out. */
  readonly maxNgram?: number;
  /** The fewest. An integer from 1; 1 when left out. */
  readonly minNgram?: number;
}

/** The empty n-gram. */
const ROOT = 0;
/** Of a key: (parent, token) is one integer below 2^53. */
const TOKEN_RANGE = 2 ** 26;

export class PromptLookup {
  readonly #maxTokens: number;
  readonly #minNgram: number;
  readonly #tokens: number[] = [];
  /** The child of a node by a token; nodes are numbered as they appear. */
  readonly #children = new Map<number, number>();
  /** By node: the number of tokens up to the end of its latest occurrence, that occurrence included. */
  readonly #latestEnds: number[] = [0];
  /** By n, 0 … maxNgram: the node of the last n tokens. Shorter while there are fewer tokens. */
  readonly #suffixes: number[] = [ROOT];
  /** By n: `#latestEnds` of the last n tokens as it was before they came; null where they are new. */
  readonly #earlierEnds: (number | null)[];

  /** @throws LastrowError `invalid_argument` naming the option that is out of its range */
  constructor({ maxTokens, maxNgram = 3, minNgram = 1 }: PromptLookupOptions) {
    checkAtLeast("maxTokens", maxTokens, 1);
    checkAtLeast("minNgram", minNgram, 1);
    checkAtLeast("maxNgram", maxNgram, minNgram);
    this.#maxTokens = maxTokens;
    this.#minNgram = minNgram;
    this.#earlierEnds = new Array(maxNgram + 1).fill(null);
  }

  /**
   * The next token of the text. Takes time in proportion to `maxNgram`, however long the text is.
   * @param token id, 0 … 2^26 − 1
   */
  push(token: number): void {
    this.#tokens.push(token);
    const end = this.#tokens.length;
    const longest = Math.min(this.#earlierEnds.length - 1, end);
    // Downwards: the node of n tokens hangs below that of the n − 1 before, which its own n then replaces.
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

  /**
   * The tokens that followed the latest earlier occurrence of the last n tokens, for the largest n from `maxNgram` down
   * to `minNgram` that has one. An occurrence may overlap the last n tokens.
   * @returns 1 to `maxTokens` of them, as many as there are up to the text's end; none when nothing occurred before
   */
  propose(): number[] {
    for (let n = this.#earlierEnds.length - 1; n >= this.#minNgram; n--) {
      const end = this.#earlierEnds[n]!;
      if (end !== null) return this.#tokens.slice(end, end + this.#maxTokens);
    }
    return [];
  }
}

function checkAtLeast(option: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new LastrowError("invalid_argument", `${option} is ${value}; it must be an integer from ${least}.`);
  }
}
