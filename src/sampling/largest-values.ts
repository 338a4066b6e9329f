/**
 * The k largest of the values that it is shown, the least of them at hand: a binary heap with the least on top. Owns
 * scratch for k values, made once.
 */
export class LargestValues {
  readonly #heap: Float32Array;
  #count = 0;

  /** @param k from 1 */
  constructor(k: number) {
    this.#heap = new Float32Array(k);
  }

  /** Starts over. */
  clear(): void {
    this.#count = 0;
  }

  /** The k-th largest value so far; −Infinity while there are fewer than k. */
  get least(): number {
    return this.#count < this.#heap.length ? Number.NEGATIVE_INFINITY : this.#heap[0];
  }

  /** Takes one value up, which must be above `least`. */
  push(value: number): void {
    const heap = this.#heap;
    if (this.#count < heap.length) {
      let at = this.#count++;
      for (let parent = (at - 1) >> 1; at > 0 && heap[parent] > value; parent = (at - 1) >> 1) {
        heap[at] = heap[parent];
        at = parent;
      }
      heap[at] = value;
      return;
    }
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && heap[child + 1] < heap[child]) child += 1;
      if (heap[child] >= value) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = value;
  }
}
