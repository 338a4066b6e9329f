/**
 * Which blocks hold a sequence's rows of K and V, and how many rows it has. The only place that computes a slot.
 *
 * Row p lives in block `blockIds[⌊p / 16⌋]`, at p mod 16. Rows are appended at the end and cut off at the end, never
 * moved. Changed by its KvCache only.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";

export class BlockTable {
  readonly #blockIds: number[] = [];
  #length = 0;

  /** Rows written so far. Counted, never derived. */
  get length(): number {
    return this.#length;
  }

  /** Ids of the blocks held, in order of position; may reach past `length` while rows are being written. */
  get blockIds(): readonly number[] {
    return this.#blockIds;
  }

  /** Rows that fit into the blocks held. */
  get capacity(): number {
    return this.#blockIds.length * BLOCK_SIZE;
  }

  /** Where the row of a position lies, counted in rows over all blocks: block id · 16 + position mod 16. */
  slot(position: number): number {
    return this.#blockIds[Math.floor(position / BLOCK_SIZE)] * BLOCK_SIZE + (position % BLOCK_SIZE);
  }

  /** Adds a block at the end. */
  appendBlock(block: number): void {
    this.#blockIds.push(block);
  }

  /** Takes the last block off. */
  popBlock(): number {
    const block = this.#blockIds.pop();
    if (block === undefined) throw new Error("a block table without blocks has none to give back");
    return block;
  }

  /** Sets the number of rows, within the blocks held. */
  setLength(length: number): void {
    if (length < 0 || length > this.capacity) {
      throw new Error(`${length} rows do not fit into ${this.#blockIds.length} KV blocks`);
    }
    this.#length = length;
  }
}
