/**
 * Beam search: which continuations to keep, which are finished, and when no better one can come. Nothing here runs a
 * model: each step is handed the log-probabilities after every live beam and says which beams live on.
 *
 * The rules are those of Hugging Face transformers 5 (`generate` with `num_beams` and `do_sample=False`). In a step
 *   1. the max(2, 1 + end tokens) · numBeams best continuations of all live beams together are candidates;
 *   2. a candidate has ended by an end token, or by being maxNewTokens long. Those that have and are among the numBeams
 *      best candidates become finished hypotheses; ended ones further down are dropped;
 *   3. the numBeams best candidates that have not ended are the live beams of the next step;
 *   4. of all finished hypotheses the numBeams with the best scores are kept.
 * A candidate is judged by its sum of log-probabilities, a finished hypothesis by its score, sum / length ^
 * lengthPenalty, where the length counts generated tokens with the end token.
 *
 * Sums are f64: a beam's own, plus the new log-probability, from the first generated token on. Equal sums rank by the
 * lower beam, then the lower token; equal scores by the earlier step, then by rank. What is −Infinity never happens:
 * it is not a candidate. Only IEEE-754 operations occur, so every machine finds the same beams and the same scores.
 */
import { LastrowError } from "../errors.js";
import { type BeamSettings, checkBeamSettings, checkInteger } from "./beam-settings.js";

export interface BeamSearchOptions extends BeamSettings {
  /** Generated tokens, an end token included, after which a beam has ended. An integer from 1. */
  readonly maxNewTokens: number;
  /** Ids of the tokens that end a text; none if empty. */
  readonly eosTokenIds: ReadonlySet<number>;
  /** How many hypotheses `finish` gives. An integer, 1 … numBeams. */
  readonly numReturnSequences: number;
}

/** The live beams after a step, best first; none once the search is done. */
export interface BeamStep {
  /** For each: which of the live beams before the step it continues. Several may continue one; of some, none may. */
  readonly parents: readonly number[];
  /** For each: the token it adds. */
  readonly tokens: readonly number[];
}

export interface BeamHypothesis {
  /** Generated tokens, an end token included. */
  readonly tokens: readonly number[];
  /** Sum of log-probabilities / length ^ lengthPenalty. */
  readonly score: number;
  /** `eos`: the last token is an end token. */
  readonly finishedBy: "eos" | "length";
}

/** Log-probabilities (V) after one live beam. */
type LogprobRow = Float32Array | Float64Array;

/** A beam's last token, and all before it. */
interface Path {
  readonly token: number;
  readonly before: Path | null;
}

interface LiveBeam {
  /** Null before the first step. */
  readonly path: Path | null;
  readonly sum: number;
}

interface Candidate {
  readonly beam: number;
  readonly token: number;
  readonly sum: number;
}

interface Finished {
  readonly path: Path;
  readonly score: number;
  readonly finishedBy: "eos" | "length";
}

export class BeamSearch {
  readonly #options: BeamSearchOptions;
  /** Best first, at most numBeams; those of the prompt alone, which all beams share, count as one. */
  #live: readonly LiveBeam[] = [{ path: null, sum: 0 }];
  /** Best first, at most numBeams. */
  #finished: readonly Finished[] = [];
  /** Tokens in every live beam. */
  #length = 0;

  /** @throws LastrowError `invalid_argument` naming the option that is out of its range */
  constructor(options: BeamSearchOptions) {
    checkBeamSettings(options);
    checkInteger("maxNewTokens", options.maxNewTokens, Number.MAX_SAFE_INTEGER);
    checkInteger("numReturnSequences", options.numReturnSequences, options.numBeams);
    this.#options = { ...options, eosTokenIds: new Set(options.eosTokenIds) };
  }

  /** Rows that the next step needs: 1 before the first, then up to numBeams; 0 once done. */
  get numLive(): number {
    return this.#live.length;
  }

  /** Whether the search has ended: by length, by earlyStopping, or because no beam can go on. */
  get done(): boolean {
    return this.#live.length === 0;
  }

  /**
   * Continues every live beam by one token, or ends it.
   * @param rows log-probabilities for each live beam, in the order of the last step's answer: all of one length V, each
   *   value finite or −Infinity; not changed
   * @throws LastrowError, and nothing has changed: `invalid_argument` when the search is done or the rows are not one
   *   for each live beam, of one length; `numerical_error` when a value is NaN or +Infinity, or all are −Infinity
   */
  step(rows: readonly LogprobRow[]): BeamStep {
    this.#checkRows(rows);
    const { numBeams, maxNewTokens, eosTokenIds } = this.#options;
    const width = Math.max(2, 1 + eosTokenIds.size) * numBeams;
    const candidates = bestCandidates(
      rows,
      this.#live.map(({ sum }) => sum),
      width,
    );
    const length = this.#length + 1;
    const live: LiveBeam[] = [];
    const parents: number[] = [];
    const tokens: number[] = [];
    const finished = [...this.#finished];
    for (const [rank, { beam, token, sum }] of candidates.entries()) {
      const path = { token, before: this.#live[beam]!.path };
      const isEos = eosTokenIds.has(token);
      if (isEos || length === maxNewTokens) {
        const finishedBy = isEos ? "eos" : "length";
        if (rank < numBeams) finished.push({ path, score: this.#score(sum, length), finishedBy });
      } else if (live.length < numBeams) {
        live.push({ path, sum });
        parents.push(beam);
        tokens.push(token);
      }
    }
    this.#length = length;
    this.#finished = bestFinished(finished, numBeams);
    const goesOn = live.length > 0 && this.#canImprove(live[0]!.sum);
    this.#live = goesOn ? live : [];
    return goesOn ? { parents, tokens } : { parents: [], tokens: [] };
  }

  /**
   * The best hypotheses, best first. Before the search is done, live beams count as if they ended by length now. Fewer
   * than numReturnSequences only where there are no more: a small vocabulary, or tokens of −Infinity.
   */
  finish(): BeamHypothesis[] {
    const { numReturnSequences } = this.#options;
    const all = [...this.#finished];
    for (const { path, sum } of this.#live) {
      if (path !== null) all.push({ path, score: this.#score(sum, this.#length), finishedBy: "length" });
    }
    return bestFinished(all, numReturnSequences).map(({ path, score, finishedBy }) => ({
      tokens: tokensOf(path),
      score,
      finishedBy,
    }));
  }

  /** Whether a live beam may still end among the best, as far as earlyStopping cares. */
  #canImprove(bestSum: number): boolean {
    const { numBeams, maxNewTokens, lengthPenalty, earlyStopping } = this.#options;
    if (this.#finished.length < numBeams) return true;
    if (earlyStopping === true) return false;
    const length = earlyStopping === "never" && lengthPenalty > 0 ? maxNewTokens : this.#length;
    return this.#score(bestSum, length) > this.#finished[numBeams - 1]!.score;
  }

  #score(sum: number, length: number): number {
    const { lengthPenalty } = this.#options;
    const power = powerOfLength(length, Math.abs(lengthPenalty));
    return lengthPenalty < 0 ? sum * power : sum / power;
  }

  #checkRows(rows: readonly LogprobRow[]): void {
    if (this.done)
      throw new LastrowError("invalid_argument", "The beam search is done; it takes no more steps.");
    if (rows.length !== this.#live.length) {
      throw new LastrowError(
        "invalid_argument",
        `${rows.length} rows of log-probabilities were given; there are ${this.#live.length} live beams.`,
      );
    }
    const other = rows.find((row) => row.length !== rows[0]!.length);
    if (other !== undefined) {
      throw new LastrowError(
        "invalid_argument",
        `Rows of ${rows[0]!.length} and of ${other.length} log-probabilities were given; they must be of one length.`,
      );
    }
  }
}

/**
 * The best continuations of all beams, best first. One pass over all values; few of them are ever above the worst of
 * the best so far, and those are inserted in order.
 * @param rows (V) for each beam
 * @param sums of each beam so far
 * @param count the most to give
 * @throws LastrowError `numerical_error` when a value is NaN or +Infinity, or all are −Infinity
 */
function bestCandidates(rows: readonly LogprobRow[], sums: readonly number[], count: number): Candidate[] {
  const best: Candidate[] = [];
  /** What a sum must exceed: with the scan in order of rank, an equal one comes too late. */
  let bar = Number.NEGATIVE_INFINITY;
  for (const [beam, row] of rows.entries()) {
    const before = sums[beam]!;
    for (let token = 0; token < row.length; token++) {
      const logprob = row[token]!;
      // Written so that NaN, which fails every comparison, is caught.
      if (!(logprob < Number.POSITIVE_INFINITY)) {
        throw new LastrowError(
          "numerical_error",
          `The log-probability of token ${token} after beam ${beam} is ${logprob}; it must be finite or -Infinity.`,
        );
      }
      const sum = before + logprob;
      if (!(sum > bar)) continue;
      if (best.length === count) best.pop();
      insert(best, { beam, token, sum });
      if (best.length === count) bar = best[count - 1]!.sum;
    }
  }
  if (best.length === 0) {
    throw new LastrowError(
      "numerical_error",
      "Every log-probability is -Infinity; no beam has a continuation.",
    );
  }
  return best;
}

/** Behind all whose sum is as high. */
function insert(sorted: Candidate[], candidate: Candidate): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]!.sum >= candidate.sum) low = middle + 1;
    else high = middle;
  }
  sorted.splice(low, 0, candidate);
}

/** Best first; equal scores stay in the order they are given in. */
function bestFinished(finished: readonly Finished[], count: number): Finished[] {
  return [...finished].sort((a, b) => b.score - a.score).slice(0, count);
}

/** First to last. */
function tokensOf(path: Path): number[] {
  const tokens: number[] = [];
  for (let at: Path | null = path; at !== null; at = at.before) tokens.push(at.token);
  return tokens.reverse();
}

/**
 * length ^ exponent, f64, within 2e-14 of it (relative): the whole part by squaring, the rest by square roots, bit by bit. Unlike
 * `Math.pow`, IEEE 754 fixes the result.
 * @param length integer from 1
 * @param exponent 0 … 20
 */
function powerOfLength(length: number, exponent: number): number {
  let power = 1;
  let whole = Math.floor(exponent);
  for (let square = length; whole > 0; square *= square) {
    if (whole % 2 === 1) power *= square;
    whole = Math.floor(whole / 2);
  }
  let rest = exponent % 1;
  for (let root = Math.sqrt(length); rest > 0 && root > 1; root = Math.sqrt(root)) {
    rest *= 2;
    if (rest >= 1) power *= root;
    rest %= 1;
  }
  return power;
}
