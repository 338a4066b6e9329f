/**
 * The face of the KV cache. Sequences take what others have computed (`findPrefix`, `attach`), reserve room for new rows,
 * commit what was written, are forked, cut back and freed. Owns the block pool, the prefix index and the tables; the
 * bytes live in the kernels' memory, at the places that `layout` describes.
 *
 * Full blocks are published when they are committed, and stay findable after their last sequence has let go of them,
 * until their space is needed: least recently released first, a sequence's tail before its head. What is published or
 * shared is never written: the writer gets a copy.
 *
 * Always (checked by invariants.ts): every block of every table has a reference for it, and no other references exist.
 */
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import { BlockPool } from "./block-pool.js";
import { BlockTable } from "./block-table.js";
import type { KvListener } from "./kv-events.js";
import { NO_PREFIX, PrefixIndex } from "./prefix-index.js";

export interface KvCacheOptions {
  /** Copies all bytes of one block over another. */
  readonly copyBlock: (from: number, to: number) => void;
  /** See `PrefixIndex`. */
  readonly hashSeed?: number;
}

/** Blocks of a prefix that is there already; valid until the cache changes. */
export interface FoundPrefix {
  readonly blocks: readonly number[];
  /** How many of them are on the free list: taking them leaves so many fewer for others. */
  readonly free: number;
}

export class KvCache {
  readonly layout: KvLayout;
  readonly pool: BlockPool;
  readonly index: PrefixIndex;
  /** Told of everything that happens; null, the default, costs nothing. */
  listener: KvListener | null = null;
  readonly #copyBlock: (from: number, to: number) => void;
  readonly #tables = new Set<BlockTable>();
  #lastSequence = 0;

  constructor(layout: KvLayout, { copyBlock, hashSeed = 0 }: KvCacheOptions) {
    this.layout = layout;
    this.pool = new BlockPool(layout.numBlocks);
    this.index = new PrefixIndex(layout.numBlocks, hashSeed);
    this.#copyBlock = copyBlock;
  }

  /** Tables of the sequences that are alive. */
  get tables(): ReadonlySet<BlockTable> {
    return this.#tables;
  }

  /** Free blocks that hold nothing which could be found. They are handed out before all others. O(free). */
  get numEmpty(): number {
    return this.pool.freeBlocks().filter((block) => !this.index.isPublished(block)).length;
  }

  /**
   * Starts a sequence without rows and without blocks.
   * @param salt sequences share blocks with those of the same salt; null: with none
   */
  createSequence(salt: string | null = ""): BlockTable {
    this.#lastSequence += 1;
    const table = new BlockTable(this.#lastSequence, salt);
    this.#tables.add(table);
    return table;
  }

  /** Full blocks of the longest prefix of `tokens` that is there, at most `maxBlocks`. Changes nothing. */
  findPrefix(salt: string | null, tokens: readonly number[], maxBlocks: number): FoundPrefix {
    const blocks: number[] = [];
    let free = 0;
    let parent = NO_PREFIX;
    while (salt !== null && blocks.length < maxBlocks) {
      const block = this.index.find({ parent, tokens, from: blocks.length * BLOCK_SIZE, salt });
      if (block === null) break;
      blocks.push(block);
      if (this.pool.refCount(block) === 0) free += 1;
      parent = this.index.idOf(block);
    }
    return { blocks, free };
  }

  /** Gives a sequence without rows the blocks of a prefix that was just found for its tokens. */
  attach(table: BlockTable, { blocks }: FoundPrefix): void {
    this.#expectAlive(table);
    if (table.length > 0) throw new Error("a sequence that has rows cannot take a prefix");
    for (const block of blocks) {
      this.pool.retain(block);
      table.appendBlock(block);
      table.appendPrefixId(this.index.idOf(block));
      this.listener?.({ type: "hit", block, sequence: table.sequence });
    }
    table.appendRows(blocks.length * BLOCK_SIZE);
  }

  /**
   * Makes room for `count` rows behind the last one; a last block that others can see is copied. Until `commit`, the
   * rows may be written and the length stays.
   * @returns whether there is room; without it, nothing has changed
   */
  reserve(table: BlockTable, count: number): boolean {
    this.#expectAlive(table);
    const needed = Math.ceil((table.length + count) / BLOCK_SIZE) - table.blockIds.length;
    const partial = count > 0 && table.length % BLOCK_SIZE !== 0;
    const last = partial ? table.blockIds[Math.floor(table.length / BLOCK_SIZE)] : null;
    const isShared = last !== null && this.pool.refCount(last) > 1;
    const isVisible = last !== null && this.index.isPublished(last);
    // With no block to spare, a published block that no other sequence holds is written in place, and no longer findable.
    const inPlace = isVisible && !isShared && this.pool.numFree < needed + 1;
    const copies = (isShared || isVisible) && !inPlace ? 1 : 0;
    if (Math.max(needed, 0) + copies > this.pool.numFree) return false;
    if (last !== null && inPlace) this.#unpublish(last);
    else if (last !== null && copies === 1) this.#copyLast(table, last);
    for (let i = 0; i < needed; i++) table.appendBlock(this.#allocate(table));
    return true;
  }

  /**
   * Declares the next `count` reserved rows written, those of the sequence's next tokens, and publishes the blocks that are now full. Where another sequence has
   * published the same contents meanwhile, its block takes the place of this one's.
   */
  commit(table: BlockTable, count: number): void {
    this.#expectAlive(table);
    const from = table.length;
    table.appendRows(count);
    this.listener?.({ type: "written", sequence: table.sequence, from, to: table.length });
    if (table.salt !== null) this.#publishFull(table, table.salt);
  }

  /** A new sequence with the tokens and the rows of another one, of which it shares all blocks. */
  fork(table: BlockTable): BlockTable {
    this.#expectAlive(table);
    const forked = this.createSequence(table.salt);
    const held = Math.ceil(table.length / BLOCK_SIZE);
    for (const block of table.blockIds.slice(0, held)) {
      this.pool.retain(block);
      forked.appendBlock(block);
      this.listener?.({ type: "shared", block, sequence: forked.sequence });
    }
    forked.append(table.tokens);
    forked.appendRows(table.length);
    for (let i = 1; i <= table.numPublished; i++) forked.appendPrefixId(table.prefixId(i));
    return forked;
  }

  /**
   * Forgets the tokens from `length` on, with the rows that they have, and gives back the blocks that hold no row of the
   * others, last block first.
   */
  truncate(table: BlockTable, length: number): void {
    const { length: count } = table.tokens;
    if (length > count) throw new Error(`a sequence of ${count} tokens has no token ${length}`);
    this.#cutRows(table, Math.min(length, table.length));
    table.forget(length);
  }

  /** Gives back all blocks of a sequence: its tokens stay, and have no rows any more. */
  clear(table: BlockTable): void {
    this.#cutRows(table, 0);
  }

  /** Ends a sequence: all its blocks are given back, and its table must not be used again. */
  free(table: BlockTable): void {
    this.clear(table);
    this.#tables.delete(table);
  }

  #cutRows(table: BlockTable, length: number): void {
    this.#expectAlive(table);
    table.cutRows(length);
    while (table.capacity - BLOCK_SIZE >= length) this.#release(table, table.popBlock());
  }

  #publishFull(table: BlockTable, salt: string): void {
    const full = Math.floor(table.length / BLOCK_SIZE);
    for (let i = table.numPublished; i < full; i++) {
      const own = table.blockIds[i];
      const key = { parent: table.prefixId(i), tokens: table.tokens, from: i * BLOCK_SIZE, salt };
      const canonical = this.index.find(key);
      if (canonical === null) {
        const prefix = this.index.publish(own, key);
        this.listener?.({
          type: "published",
          block: own,
          sequence: table.sequence,
          prefix,
          parent: key.parent,
        });
      } else if (canonical !== own) {
        this.pool.retain(canonical);
        this.listener?.({ type: "hit", block: canonical, sequence: table.sequence });
        table.replaceBlock(i, canonical);
        this.#release(table, own);
      }
      table.appendPrefixId(this.index.idOf(table.blockIds[i]));
    }
  }

  #copyLast(table: BlockTable, last: number): void {
    const copy = this.#allocate(table);
    this.#copyBlock(last, copy);
    this.listener?.({ type: "copied", from: last, to: copy, sequence: table.sequence });
    table.replaceBlock(Math.floor(table.length / BLOCK_SIZE), copy);
    this.#release(table, last);
  }

  #allocate(table: BlockTable): number {
    const block = this.pool.allocate();
    if (block === null) throw new Error("the block pool counts more free blocks than it has");
    if (this.index.isPublished(block)) this.#unpublish(block);
    this.listener?.({ type: "allocated", block, sequence: table.sequence });
    return block;
  }

  #unpublish(block: number): void {
    this.index.remove(block);
    this.listener?.({ type: "evicted", block });
  }

  /** What can be found is kept as long as possible; what cannot be asked for again is the next to be used. */
  #release(table: BlockTable, block: number): void {
    if (this.index.isPublished(block)) this.pool.release(block);
    else this.pool.discard(block);
    this.listener?.({
      type: "released",
      block,
      sequence: table.sequence,
      references: this.pool.refCount(block),
    });
  }

  #expectAlive(table: BlockTable): void {
    if (!this.#tables.has(table)) throw new Error("this block table belongs to no sequence of this KV cache");
  }
}
