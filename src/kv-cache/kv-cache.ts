/**
 * The face of the KV cache: sequences reserve room for new rows, commit what was written, are cut back and freed.
 * Owns the block pool and the tables; the bytes live in the kernels' memory, at the places that `layout` describes.
 *
 * Always (checked by invariants.ts): every block of every table has a reference for it, and no other references exist.
 */
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import { BlockPool } from "./block-pool.js";
import { BlockTable } from "./block-table.js";

export class KvCache {
  readonly layout: KvLayout;
  readonly pool: BlockPool;
  readonly #tables = new Set<BlockTable>();

  constructor(layout: KvLayout) {
    this.layout = layout;
    this.pool = new BlockPool(layout.numBlocks);
  }

  /** Tables of the sequences that are alive. */
  get tables(): ReadonlySet<BlockTable> {
    return this.#tables;
  }

  /** Starts a sequence without rows and without blocks. */
  createSequence(): BlockTable {
    const table = new BlockTable();
    this.#tables.add(table);
    return table;
  }

  /**
   * Makes room for `count` rows behind the last one. Until `commit`, the rows may be written and the length stays.
   * @returns whether there is room; without it, nothing has changed
   */
  reserve(table: BlockTable, count: number): boolean {
    this.#expectAlive(table);
    const needed = Math.ceil((table.length + count) / BLOCK_SIZE) - table.blockIds.length;
    if (needed > this.pool.numFree) return false;
    for (let i = 0; i < needed; i++) {
      const block = this.pool.allocate();
      if (block === null) throw new Error("the block pool counts more free blocks than it has");
      table.appendBlock(block);
    }
    return true;
  }

  /** Declares the next `count` reserved rows written. */
  commit(table: BlockTable, count: number): void {
    this.#expectAlive(table);
    table.setLength(table.length + count);
  }

  /** Forgets the rows from `length` on and gives back the blocks that hold none of the others, last block first. */
  truncate(table: BlockTable, length: number): void {
    this.#expectAlive(table);
    if (length > table.length) throw new Error(`a sequence of ${table.length} rows has no row ${length}`);
    table.setLength(length);
    while (table.capacity - BLOCK_SIZE >= length) this.pool.release(table.popBlock());
  }

  /** Forgets all rows, whose contents nobody will ask for again: their blocks are the next to be used. */
  discard(table: BlockTable): void {
    this.#expectAlive(table);
    table.setLength(0);
    while (table.capacity > 0) this.pool.discard(table.popBlock());
  }

  /** Ends a sequence: all its blocks are given back, and its table must not be used again. */
  free(table: BlockTable): void {
    this.truncate(table, 0);
    this.#tables.delete(table);
  }

  #expectAlive(table: BlockTable): void {
    if (!this.#tables.has(table)) throw new Error("this block table belongs to no sequence of this KV cache");
  }
}
