/**
 * Which KV blocks are free, and how many hold each of the others. Knows no contents and no sequences.
 *
 * Struct of arrays; the free list is doubly linked through the block ids and ordered by release: the block that was
 * released longest ago is handed out first. Every operation is O(1).
 * Always: free + referenced = total; a block is on the free list exactly when its reference count is 0.
 */

/** No block: the end of the free list. */
const NONE = -1;

export class BlockPool {
  readonly numBlocks: number;
  readonly #refCounts: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #head: number;
  #tail: number;
  #numFree: number;

  /** @param numBlocks number of blocks, all free at first and handed out in ascending order */
  constructor(numBlocks: number) {
    this.numBlocks = numBlocks;
    this.#refCounts = new Int32Array(numBlocks);
    this.#next = Int32Array.from({ length: numBlocks }, (_, i) => (i + 1 < numBlocks ? i + 1 : NONE));
    this.#previous = Int32Array.from({ length: numBlocks }, (_, i) => i - 1);
    this.#head = numBlocks > 0 ? 0 : NONE;
    this.#tail = numBlocks - 1;
    this.#numFree = numBlocks;
  }

  get numFree(): number {
    return this.#numFree;
  }

  /** Takes the block that was released longest ago, with one reference; null when none is free. */
  allocate(): number | null {
    const block = this.#head;
    if (block === NONE) return null;
    this.#unlink(block);
    this.#refCounts[block] = 1;
    return block;
  }

  /** Adds a reference to a block; a free block leaves the free list. */
  retain(block: number): void {
    if (this.#refCounts[block] === 0) this.#unlink(block);
    this.#refCounts[block] += 1;
  }

  /**
   * Takes one reference back; the last one puts the block at the end of the free list.
   * @throws Error when the block has no reference: a bug in the caller, never a consequence of input
   */
  release(block: number): void {
    if (!this.#dropReference(block)) return;
    this.#previous[block] = this.#tail;
    this.#next[block] = NONE;
    if (this.#tail === NONE) this.#head = block;
    else this.#next[this.#tail] = block;
    this.#tail = block;
  }

  /**
   * As `release`, for contents that will not be asked for again: the last reference makes the block the next one to be
   * handed out, so that the same few blocks serve, and stay in the processor's cache.
   */
  discard(block: number): void {
    if (!this.#dropReference(block)) return;
    this.#next[block] = this.#head;
    this.#previous[block] = NONE;
    if (this.#head === NONE) this.#tail = block;
    else this.#previous[this.#head] = block;
    this.#head = block;
  }

  refCount(block: number): number {
    return this.#refCounts[block];
  }

  /** Free blocks in the order in which they will be handed out. O(free); for checks and displays. */
  freeBlocks(): number[] {
    const blocks: number[] = [];
    for (let block = this.#head; block !== NONE; block = this.#next[block]) blocks.push(block);
    return blocks;
  }

  /** @returns whether it was the last one; the block is then counted as free, and to be put on the free list */
  #dropReference(block: number): boolean {
    if (!(this.#refCounts[block] > 0)) throw new Error(`KV block ${block} released without a reference`);
    this.#refCounts[block] -= 1;
    if (this.#refCounts[block] > 0) return false;
    this.#numFree += 1;
    return true;
  }

  #unlink(block: number): void {
    const previous = this.#previous[block];
    const next = this.#next[block];
    if (previous === NONE) this.#head = next;
    else this.#next[previous] = next;
    if (next === NONE) this.#tail = previous;
    else this.#previous[next] = previous;
    this.#numFree -= 1;
  }
}
