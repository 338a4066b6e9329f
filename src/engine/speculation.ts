/**
 * How many tokens a continuation proposes for its next step. Look-up says which ones; how far they can be relied on is
 * counted on every token that the model chooses, whether it had been proposed or not: so a text is followed at no cost while
 * nothing is proposed. The answer never depends on it, only the number of rows that are fed.
 *
 * What an expectation is worth may be mistaken, so proposals have a credit, in tokens: a little for each token of the
 * text, and what they have gained. A step may not risk more than that, and so all of them together never cost more than
 * the little, however the text goes on.
 *
 * Owns the look-up, how often its expectations came true (a count for each length of what had matched before, in
 * which what is long past fades), and the credit.
 */
import { PromptLookup } from "../sampling/prompt-lookup.js";
import type { StepCosts } from "./step-costs.js";

/** The smallest `matched` of each count. */
const LENGTHS = [1, 2, 3, 4, 6, 9, 16];
/** How often expectations come true, before any of this text was seen; by length, as all of these. */
const AT_FIRST = [0.1, 0.2, 0.4, 0.5, 0.6, 0.75, 0.9];
/** Tokens that the beginning counts for. */
const AT_FIRST_WEIGHT = 2;
/** What is left of a count at the next one: some 24 tokens count. */
const FADING = 1 - 1 / 24;
/** What proposals must gain at least, as they are estimated. */
const LEAST_GAIN = 1.05;
/** Tokens of credit: at first, for each token of the text, and at most. */
const FIRST_CREDIT = 0.75;
const CREDIT_PER_TOKEN = 0.01;
const MOST_CREDIT = 8;

export class Speculation {
  readonly #lookup = new PromptLookup();
  readonly #came: number[] = LENGTHS.map(() => 0);
  readonly #expected: number[] = LENGTHS.map(() => 0);
  #credit = FIRST_CREDIT;

  constructor(prompt: readonly number[]) {
    for (const token of prompt) this.#lookup.push(token);
  }

  /** A token that was chosen. */
  push(token: number): void {
    this.#earn(CREDIT_PER_TOKEN);
    const { matched, expected } = this.#lookup;
    if (expected !== null) {
      const length = lengthOf(matched);
      this.#came[length] = this.#came[length]! * FADING + (expected === token ? 1 : 0);
      this.#expected[length] = this.#expected[length]! * FADING + 1;
    }
    this.#lookup.push(token);
  }

  /**
   * What has come of proposals: of `proposed` that were computed, `accepted` were chosen. The other two are as for
   * `propose`.
   */
  settle(proposed: number, accepted: number, sequences: number, costs: StepCosts): void {
    const plain = costs.of(sequences, 0);
    if (proposed > 0 && plain !== null) this.#earn(accepted - stake(proposed, plain, sequences, costs));
  }

  /**
   * Tokens to compute along with the last one: as many as give the most tokens in a time.
   * @param most 0 or more
   * @param sequences that the next step is expected to decode, this one among them; each gives a token
   */
  propose(most: number, sequences: number, costs: StepCosts): number[] {
    const { matched } = this.#lookup;
    if (matched === 0 || most <= 0) return [];
    const plain = costs.of(sequences, 0);
    if (plain === null) return [];
    let best = 0;
    let bestRate = LEAST_GAIN;
    let gained = 0;
    let likelihood = 1;
    for (let count = 1; count <= most; count++) {
      likelihood *= this.#likelihood(matched + count - 1);
      gained += likelihood;
      const risked = stake(count, plain, sequences, costs);
      if (risked > this.#credit) break;
      const rate = (sequences + gained) / (sequences + risked);
      if (rate > bestRate) [best, bestRate] = [count, rate];
    }
    return this.#lookup.propose(best);
  }

  #earn(tokens: number): void {
    this.#credit = Math.min(MOST_CREDIT, this.#credit + tokens);
  }

  /** That what is expected comes, after so many tokens that matched. */
  #likelihood(matched: number): number {
    const length = lengthOf(matched);
    const atFirst = AT_FIRST[length]! * AT_FIRST_WEIGHT;
    return (this.#came[length]! + atFirst) / (this.#expected[length]! + AT_FIRST_WEIGHT);
  }
}

function lengthOf(matched: number): number {
  let length = LENGTHS.length - 1;
  while (LENGTHS[length]! > matched) length -= 1;
  return length;
}

/** Tokens that all sequences would have got in the time that so many proposals take. */
function stake(proposed: number, plain: number, sequences: number, costs: StepCosts): number {
  return sequences * ((costs.of(sequences, proposed) ?? plain) / plain - 1);
}
