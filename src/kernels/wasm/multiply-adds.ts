/**
 * The count of multiply-adds, kept where operations are asked for. What runs again is not asked for one by one: its products are as
 * large as they were, and its attention sees as many keys as its rows do by then.
 *
 * Owns the count, and what was asked for together last.
 */
import { type AttentionCall, attentionMultiplyAdds } from "../kernels.js";

export class MultiplyAdds {
  /** All of the kernels' memory: where rows are. */
  readonly #words: Int32Array;
  #total = 0;
  /** The count before what is asked for together. */
  #before = 0;
  /** Of what was asked for together, all but attention. */
  #products = 0;
  /** Attention of it, each once that has the same keys, and how many times. */
  #attentions: { readonly call: AttentionCall; times: number }[] = [];

  constructor(words: Int32Array) {
    this.#words = words;
  }

  get total(): number {
    return this.#total;
  }

  addProduct(multiplyAdds: number): void {
    this.#total += multiplyAdds;
  }

  addAttention(call: AttentionCall): void {
    this.#total += attentionMultiplyAdds(call, this.#words);
    const same = this.#attentions.find((one) => seesAlike(one.call, call));
    if (same === undefined) this.#attentions.push({ call, times: 1 });
    else same.times += 1;
  }

  /** What is asked for from now on is asked for together. */
  beginTogether(): void {
    this.#attentions = [];
    this.#before = this.#total;
  }

  endTogether(): void {
    this.#products = this.#total - this.#before - this.#attended();
  }

  /** All of it has been asked for once more. */
  addAgain(): void {
    this.#total += this.#products + this.#attended();
  }

  /** Of rows where they are now. */
  #attended(): number {
    let sum = 0;
    for (const { call, times } of this.#attentions) sum += times * attentionMultiplyAdds(call, this.#words);
    return sum;
  }
}

/** Whether queries of two calls see the same keys, by as many multiply-adds. */
function seesAlike(a: AttentionCall, b: AttentionCall): boolean {
  return (
    a.positions === b.positions &&
    a.window === b.window &&
    a.numHeads === b.numHeads &&
    a.kv.headDim === b.kv.headDim
  );
}
