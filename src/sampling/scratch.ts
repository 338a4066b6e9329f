/**
 * Working memory for choosing among the tokens of one vocabulary. Some hundred kilobytes, so that all samplers of an engine
 * share one: they work one after the other, and nothing is kept in it between calls. Each part is made when it is first
 * needed; decoding greedily needs none.
 */
import { STRETCH } from "../kernels/kernels.js";
import { Candidates } from "./candidates.js";

/** Working memory of samplers, for one vocabulary: any number may share it, one after the other. */
export class SamplingScratch {
  /** V */
  readonly vocabSize: number;
  #candidates: Candidates | null = null;
  #counts: Int32Array | null = null;
  #scores: Float32Array | null = null;
  #maxima: Float32Array | null = null;

  /** @param vocabSize V, at least 1 */
  constructor(vocabSize: number) {
    this.vocabSize = vocabSize;
  }

  /** The tokens that may still be chosen. */
  get candidates(): Candidates {
    this.#candidates ??= new Candidates(this.vocabSize);
    return this.#candidates;
  }

  /** (V) How often each token was seen: all zero between calls; the code that counts resets it. */
  get counts(): Int32Array {
    this.#counts ??= new Int32Array(this.vocabSize);
    return this.#counts;
  }

  /** (V) A row of logits, to be changed. */
  get scores(): Float32Array {
    this.#scores ??= new Float32Array(this.vocabSize);
    return this.#scores;
  }

  /** (⌈V / STRETCH⌉) The largest of each stretch of `scores`. */
  get maxima(): Float32Array {
    this.#maxima ??= new Float32Array(Math.ceil(this.vocabSize / STRETCH));
    return this.#maxima;
  }
}
