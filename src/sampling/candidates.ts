/**
 * The tokens that may still be chosen: temperature fills them in, each filter leaves fewer, the draw takes one.
 *
 * Owns scratch for one vocabulary, made once. The tokens left are always in ascending order of ids, each with its
 * score (f32) and its weight: 1 at first, and once weighed exp(score − best score) (f32), its softmax numerator.
 * Tokens with a score of −Infinity are never among them.
 *
 * The filters are Hugging Face's, to be called in Hugging Face's order (top-k when they are filled in, top-p, min-p). Sums are f64, in an
 * order that the scores alone determine. Where "better" is said, the higher score is meant, and among equal scores
 * the lower id: the order of greedy decoding.
 *
 * Top-k and top-p need the best tokens up to a point, not all in order. Top-k looks at the best score of each stretch, and
 * closer only where that is among the best so far. For top-p, tokens are counted into buckets by
 * their distance from the best score, and only the bucket where that point lies is ordered.
 */
import { STRETCH } from "../kernels/kernels.js";
import { stretchMaxima } from "../kernels/reference/stretch-maxima.js";
import { exp } from "../numerics/math.js";
import { LargestValues } from "./largest-values.js";

/** Least positive f32 with all 24 bits: quotients of this size and more differ where their dividends do by 2^−20. */
const LEAST_NORMAL = 2 ** -126;

const BUCKETS = 2048;
/** Scores that are 1 apart are this many buckets apart; everything 64 and more below the best shares the last one. */
const BUCKETS_PER_UNIT = 32;

/** Tokens of one vocabulary that may still be chosen, with their scores; filled anew for each token that is chosen. */
export class Candidates {
  readonly #ids: Int32Array;
  readonly #scores: Float32Array;
  readonly #weights: Float32Array;
  #count = 0;
  #bestScore = 0;
  /** Sums of the weights in each bucket, best bucket first. */
  readonly #bucketWeights = new Float64Array(BUCKETS);
  /** Indices of candidates, as a binary heap with the best on top. */
  readonly #heap: Int32Array;
  #heapSize = 0;
  #largest: { readonly k: number; readonly values: LargestValues } | null = null;

  /** @param vocabSize V, the most that `fill` takes */
  constructor(vocabSize: number) {
    this.#ids = new Int32Array(vocabSize);
    this.#scores = new Float32Array(vocabSize);
    this.#weights = new Float32Array(vocabSize);
    this.#heap = new Int32Array(vocabSize);
  }

  /** The ids left, ascending; a view that is valid until the next call. */
  get ids(): Int32Array {
    return this.#ids.subarray(0, this.#count);
  }

  /** Weights of the ids left: 1 each until `weigh`; a view that is valid until the next call. */
  get weights(): Float32Array {
    return this.#weights.subarray(0, this.#count);
  }

  /**
   * Starts over with all tokens whose score divided by the temperature, in f32, is above −Infinity.
   * @param scores (V) f32 without NaN or +Infinity, not changed
   * @param temperature f32 above 0
   * @returns false when that leaves no token, or the quotient of one is +Infinity
   */
  fill(scores: Float32Array, temperature: number): boolean {
    let count = 0;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < scores.length; i++) {
      const score = Math.fround(scores[i]! / temperature);
      if (score === Number.NEGATIVE_INFINITY) continue;
      this.#ids[count] = i;
      this.#scores[count] = score;
      this.#weights[count] = 1;
      count++;
      if (score > max) max = score;
    }
    this.#count = count;
    this.#bestScore = max;
    return Number.isFinite(max);
  }

  /**
   * As `fill`, with only the k best tokens, and all whose quotient equals the k-th's.
   * @param k integer from 1
   * @param maxima `Kernels.stretchMaxima` of the scores, where they are known
   */
  fillTopK(scores: Float32Array, temperature: number, k: number, maxima = stretchMaxima(scores)): boolean {
    if (k >= scores.length) return this.fill(scores, temperature);
    // Division by the temperature keeps the order, but may make equals of neighbours.
    const kth = this.#kthLargest(scores, k, maxima);
    const threshold = Math.fround(kth / temperature);
    const isNormal = Math.abs(threshold) >= LEAST_NORMAL && Number.isFinite(threshold);
    const lowest = isNormal ? kth - Math.abs(kth) * 2 ** -20 : Number.NEGATIVE_INFINITY;
    let count = 0;
    let max = Number.NEGATIVE_INFINITY;
    for (let from = 0; from < scores.length; from += STRETCH) {
      if (maxima[from / STRETCH]! < lowest) continue;
      const end = Math.min(from + STRETCH, scores.length);
      for (let i = from; i < end; i++) {
        if (scores[i]! < lowest) continue;
        const score = Math.fround(scores[i]! / temperature);
        if (score < threshold || score === Number.NEGATIVE_INFINITY) continue;
        this.#ids[count] = i;
        this.#scores[count] = score;
        this.#weights[count] = 1;
        count++;
        if (score > max) max = score;
      }
    }
    this.#count = count;
    this.#bestScore = max;
    return Number.isFinite(max);
  }

  #kthLargest(scores: Float32Array, k: number, maxima: Float32Array): number {
    if (this.#largest?.k !== k) this.#largest = { k, values: new LargestValues(k) };
    const { values } = this.#largest;
    values.clear();
    for (let from = 0; from < scores.length; from += STRETCH) {
      if (maxima[from / STRETCH]! <= values.least) continue;
      const end = Math.min(from + STRETCH, scores.length);
      for (let i = from; i < end; i++) if (scores[i]! > values.least) values.push(scores[i]!);
    }
    return values.least;
  }

  /** Computes the weights; to be called once, after top-k and before anything else, so that few `exp` are needed. */
  weigh(): void {
    const best = this.#bestScore;
    for (let i = 0; i < this.#count; i++) this.#weights[i] = exp(Math.fround(this.#scores[i]! - best));
  }

  /**
   * Keeps the fewest best tokens whose probabilities sum up to p or more: a token stays when all better ones together
   * have less than p. Hugging Face says the same from the other end: a token goes when it and all worse ones together
   * have at most 1 − p. Holtzman and others, "The Curious Case of Neural Text Degeneration" (2020), eq. 2.
   * @param p above 0, at most 1, which keeps every token that has any weight
   */
  keepTopP(p: number): void {
    const total = this.#fillBuckets();
    const last = this.#lastNeeded(p * total);
    // Keeping moves entries, so what is compared with is read before.
    const threshold = this.#scores[last]!;
    this.#keep((i) => this.#scores[i]! > threshold || (this.#scores[i] === threshold && i <= last));
  }

  /**
   * Keeps the tokens that have at least minP times the best one's probability. Nguyen and others, "Turning Up the
   * Heat: Min-p Sampling" (2024).
   * @param minP 0 … 1
   */
  keepMinP(minP: number): void {
    const threshold = Math.fround(minP);
    this.#keep((i) => this.#weights[i]! >= threshold);
  }

  /**
   * Draws in proportion to the weights: in ascending order of ids, the first token at which the sum of the weights
   * exceeds u times their total.
   * @param u in [0, 1)
   * @returns a token id
   */
  draw(u: number): number {
    const target = u * this.#totalWeight();
    let sum = 0;
    let i = 0;
    while (i < this.#count - 1) {
      sum += this.#weights[i]!;
      if (sum > target) break;
      i++;
    }
    return this.#ids[i]!;
  }

  #totalWeight(): number {
    let total = 0;
    for (let i = 0; i < this.#count; i++) total += this.#weights[i]!;
    return total;
  }

  /** `stays` is asked once for each index, in ascending order, before its entry is moved. */
  #keep(stays: (index: number) => boolean): void {
    let count = 0;
    for (let i = 0; i < this.#count; i++) {
      if (!stays(i)) continue;
      this.#ids[count] = this.#ids[i]!;
      this.#scores[count] = this.#scores[i]!;
      this.#weights[count] = this.#weights[i]!;
      count++;
    }
    this.#count = count;
  }

  #bucketOf(index: number): number {
    return Math.min(Math.floor((this.#bestScore - this.#scores[index]!) * BUCKETS_PER_UNIT), BUCKETS - 1);
  }

  /** @returns the total of the weights, added up bucket by bucket */
  #fillBuckets(): number {
    const buckets = this.#bucketWeights.fill(0);
    for (let i = 0; i < this.#count; i++) buckets[this.#bucketOf(i)]! += this.#weights[i]!;
    let total = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) total += buckets[bucket]!;
    return total;
  }

  /**
   * The index of the last of the fewest best candidates whose weights sum up to `target`; buckets must be filled.
   * @param target above 0, at most the total
   */
  #lastNeeded(target: number): number {
    let sum = 0;
    let bucket = 0;
    // Ends inside the buckets: the same additions in the same order gave the total.
    while (sum + this.#bucketWeights[bucket]! < target) sum += this.#bucketWeights[bucket++]!;
    this.#heapSize = 0;
    for (let i = 0; i < this.#count; i++) if (this.#bucketOf(i) === bucket) this.#heap[this.#heapSize++] = i;
    this.#heapify();
    let last = this.#popBest();
    sum += this.#weights[last]!;
    while (sum < target && this.#heapSize > 0) {
      last = this.#popBest();
      sum += this.#weights[last]!;
    }
    return last;
  }

  /** Indices rise with ids, so the lower index is the lower id. */
  #isBetter(a: number, b: number): boolean {
    const scoreA = this.#scores[a]!;
    const scoreB = this.#scores[b]!;
    return scoreA > scoreB || (scoreA === scoreB && a < b);
  }

  #heapify(): void {
    for (let at = (this.#heapSize >> 1) - 1; at >= 0; at--) this.#sink(at, this.#heap[at]!);
  }

  /** Takes the best index off the heap, which must not be empty. */
  #popBest(): number {
    const best = this.#heap[0]!;
    this.#heapSize--;
    this.#sink(0, this.#heap[this.#heapSize]!);
    return best;
  }

  /** Puts an index at a place of the heap, and below it as far as better ones are there. */
  #sink(from: number, index: number): void {
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#heapSize) break;
      if (child + 1 < this.#heapSize && this.#isBetter(this.#heap[child + 1]!, this.#heap[child]!)) child++;
      if (!this.#isBetter(this.#heap[child]!, index)) break;
      this.#heap[at] = this.#heap[child]!;
      at = child;
    }
    this.#heap[at] = index;
  }
}
