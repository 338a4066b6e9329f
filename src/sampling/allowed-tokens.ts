/** Which tokens may be chosen: by a mask, and the tokens that end a text. */
export interface AllowedTokens {
  /** (⌈V / 32⌉): bit t % 32 of word ⌊t / 32⌋ says whether token t is allowed. */
  readonly mask: Uint32Array;
  /** Tokens that end a text, whatever the mask says of them: allowed where it is whole, and nowhere else. */
  readonly endTokenIds: readonly number[];
  readonly mayEnd: boolean;
}

/** What may follow in one text, as it grows. Owned by one continuation. */
export interface TokenConstraint {
  /** What may follow; null while that is not known yet: `prepare` finds it. */
  readonly allowed: AllowedTokens | null;
  /** Whether nothing can follow: the text is whole. */
  readonly isOver: boolean;
  /**
   * Works on what may follow, for about so many looks at a vocabulary's tree.
   * @returns whether `allowed` is known now
   * @throws LastrowError `invalid_argument` when a limit of its grammar is passed
   */
  prepare(fuel: number): boolean;
  /** The text goes on with this token, which was allowed. */
  accept(token: number): void;
}

/** Scores of tokens that are not allowed become −Infinity. */
export function keepAllowed(scores: Float32Array, { mask, endTokenIds, mayEnd }: AllowedTokens): void {
  const ends = endTokenIds.map((token) => scores[token]);
  for (let word = 0; word < mask.length; word++) {
    const bits = mask[word];
    if (bits === 0xffffffff) continue;
    const first = word << 5;
    if (bits === 0) {
      scores.fill(Number.NEGATIVE_INFINITY, first, first + 32);
      continue;
    }
    const end = Math.min(first + 32, scores.length);
    for (let token = first; token < end; token++) {
      if (((bits >>> (token & 31)) & 1) === 0) scores[token] = Number.NEGATIVE_INFINITY;
    }
  }
  // A vocabulary may have fewer tokens than there are scores.
  scores.fill(Number.NEGATIVE_INFINITY, mask.length << 5);
  endTokenIds.forEach((token, i) => {
    scores[token] = mayEnd ? ends[i] : Number.NEGATIVE_INFINITY;
  });
}
