/**
 * The face of the KV cache. Sequences take what others have computed (`findPrefix`, `attach`), reserve room for new rows,
 * commit what was written, give back what no window sees any more, are forked, cut back and freed. Owns the tables, and the
 * blocks that they hold (held-blocks.ts); the bytes live in the kernels' memory, at the places that `layout` describes.
 *
 * Full blocks are published when they are committed, and stay findable after their last sequence has let go of them,
 * until their space is needed: least recently released first, a sequence's tail before its head. What is published or
 * shared is never written: the writer gets a copy.
 *
 * Always (checked by invariants.ts): every block of every table and of every adoption has a reference for it, and no other
 * references exist; and every table has all blocks that its next row sees.
 */
import {
  BLOCK_SIZE,
  type BlockRun,
  firstKeptBlock,
  firstSeenBlock,
  type KvLayout,
} from "../kernels/kv-layout.js";
import { Adoption } from "./adoption.js";
import type { BlockPool } from "./block-pool.js";
import { BlockTable } from "./block-table.js";
import { type FoundPrefix, findPrefix, prefixBlocks } from "./found-prefix.js";
import { HeldBlocks } from "./held-blocks.js";
import type { KvListener, PlacedBlock } from "./kv-events.js";
import type { PrefixIndex, PrefixNode } from "./prefix-index.js";

export interface KvCacheOptions {
  /** Copies all bytes of one block over another. */
  readonly copyBlock: (from: number, to: number) => void;
  /** See `PrefixIndex`. */
  readonly hashSeed?: number;
}

export class KvCache {
  readonly layout: KvLayout;
  /** Which blocks are free; changed here only. */
  readonly pool: Pick<BlockPool, "numBlocks" | "numFree" | "refCount" | "freeBlocks">;
  /** What can be found; changed here only. */
  readonly index: Pick<PrefixIndex, "size" | "numNodes" | "nodeOf" | "isPublished" | "prefixOf">;
  readonly #blocks: HeldBlocks;
  readonly #copyBlock: (from: number, to: number) => void;
  readonly #tables = new Set<BlockTable>();
  readonly #adoptions = new Set<Adoption>();
  #lastSequence = 0;

  constructor(layout: KvLayout, { copyBlock, hashSeed = 0 }: KvCacheOptions) {
    this.layout = layout;
    this.#blocks = new HeldBlocks(layout.numBlocks, layout.groups.length, hashSeed);
    this.pool = this.#blocks.pool;
    this.index = this.#blocks.index;
    this.#copyBlock = copyBlock;
  }

  /** Told of everything that happens; null, the default, costs nothing. */
  get listener(): KvListener | null {
    return this.#blocks.listener;
  }

  set listener(listener: KvListener | null) {
    this.#blocks.listener = listener;
  }

  /** Tables of the sequences that are alive. */
  get tables(): ReadonlySet<BlockTable> {
    return this.#tables;
  }

  /** Those that are open. */
  get adoptions(): ReadonlySet<Adoption> {
    return this.#adoptions;
  }

  /** Free blocks that hold nothing which could be found. They are handed out before all others. O(free). */
  get numEmpty(): number {
    return this.pool.freeBlocks().filter((block) => !this.index.isPublished(block)).length;
  }

  /** The group of layers whose rows a block holds, or held when it was last in use. */
  groupOf(block: number): number {
    return this.#blocks.groupOf(block);
  }

  /**
   * Starts a sequence without rows and without blocks.
   * @param salt sequences share blocks with those of the same salt; null: with none
   */
  createSequence(salt: string | null = ""): BlockTable {
    this.#lastSequence += 1;
    const table = new BlockTable(this.#lastSequence, salt, this.layout.groups.length);
    this.#tables.add(table);
    return table;
  }

  /** See `findPrefix` of found-prefix.ts. Changes nothing. */
  findPrefix(salt: string | null, tokens: ArrayLike<number>, maxBlocks: number): FoundPrefix {
    const { index, pool } = this.#blocks;
    return findPrefix({ index, pool, groups: this.layout.groups }, salt, tokens, maxBlocks);
  }

  /** How many blocks long what `findPrefix` finds is. */
  prefixBlocks(salt: string | null, tokens: ArrayLike<number>, maxBlocks: number): number {
    return prefixBlocks({ index: this.#blocks.index, groups: this.layout.groups }, salt, tokens, maxBlocks);
  }

  /**
   * Opens the way for blocks of a prefix that were computed elsewhere: it holds what is there already. It is to be closed.
   * @param to blocks of the prefix, all of whose tokens are given
   */
  adopt(salt: string, tokens: readonly number[], to: number): Adoption {
    const { length, runs } = this.findPrefix(salt, tokens, to);
    this.#lastSequence += 1;
    const adopted = { salt, tokens, runs, from: length / BLOCK_SIZE, to };
    const adoption = new Adoption(this.#blocks, this.layout.groups, adopted, this.#lastSequence);
    this.#adoptions.add(adoption);
    return adoption;
  }

  /** Closes an adoption, unless it is closed: see `Adoption.close`. */
  closeAdoption(adoption: Adoption): void {
    if (this.#adoptions.delete(adoption)) adoption.close();
  }

  /** Gives a sequence without rows the blocks of a prefix that was just found for its tokens. */
  attach(table: BlockTable, { length, runs, prefix }: FoundPrefix): void {
    this.#expectAlive(table);
    if (table.length > 0) throw new Error("a sequence that has rows cannot take a prefix");
    if (length === 0) return;
    for (const [group, { first, ids }] of runs.entries()) {
      table.beginRun(group, first);
      for (const [i, block] of ids.entries()) {
        table.appendBlock(group, block);
        this.#blocks.take("hit", { block, sequence: table.sequence, group, index: first + i });
      }
    }
    if (prefix !== null) this.#blocks.index.holdKnown(prefix);
    table.setPrefix(prefix, length / BLOCK_SIZE);
    table.appendRows(length);
  }

  /**
   * Makes room for `count` rows behind the last one; a last block that others can see is copied. Until `commit`, the
   * rows may be written and the length stays.
   * @returns whether there is room; without it, nothing has changed
   */
  reserve(table: BlockTable, count: number): boolean {
    this.#expectAlive(table);
    const end = Math.ceil((table.length + count) / BLOCK_SIZE);
    const last = Math.floor(table.length / BLOCK_SIZE);
    const isPartial = count > 0 && table.length % BLOCK_SIZE !== 0;
    let needed = 0;
    const shared: number[] = [];
    const visible: number[] = [];
    for (const [group, run] of table.runs.entries()) {
      needed += Math.max(0, end - endOf(run));
      if (!isPartial) continue;
      const block = run.ids[last - run.first];
      if (this.pool.refCount(block) > 1) shared.push(group);
      else if (this.index.isPublished(block)) visible.push(group);
    }
    // With no block to spare, a published block that no other sequence holds is written in place, and no longer findable.
    const inPlace = this.pool.numFree < needed + shared.length + visible.length;
    if (needed + shared.length + (inPlace ? 0 : visible.length) > this.pool.numFree) return false;
    for (const group of visible) {
      if (inPlace) this.#blocks.unpublish(blockAt(table, group, last));
      else shared.push(group);
    }
    for (const group of shared) this.#copyLast(table, group, last);
    this.#fill(table, end);
    return true;
  }

  /**
   * Makes room for the rows that a saved sequence of `length` tokens gives, all but the last: of each window only for what is
   * kept of so many. What the table has before a gap is given back. No row can be computed before they are written and committed.
   * @returns whether there is room for all; without it, nothing has changed
   */
  reserveGiven(table: BlockTable, length: number): boolean {
    this.#expectAlive(table);
    if (this.blocksForGiven(table, length) > this.pool.numFree) return false;
    for (const [group, { window }] of this.layout.groups.entries()) {
      const kept = firstKeptBlock(window, length);
      if (endOf(table.runs[group]) >= kept) continue;
      while (table.runs[group].ids.length > 0) this.#popBlock(table, group);
      table.beginRun(group, kept);
      table.beginGiven(length - 1);
    }
    this.#fill(table, Math.ceil((length - 1) / BLOCK_SIZE));
    return true;
  }

  /** Blocks that this takes. */
  blocksForGiven({ runs }: BlockTable, length: number): number {
    const end = Math.ceil((length - 1) / BLOCK_SIZE);
    return this.layout.groups.reduce((sum, { window }, group) => {
      const from = Math.max(endOf(runs[group]), firstKeptBlock(window, length));
      return sum + Math.max(0, end - from);
    }, 0);
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

  /**
   * Gives back what windows do not need any more.
   * @param length rows that the sequence will not be cut back below, or not without computing them again
   */
  releaseUnseen(table: BlockTable, length = table.length): void {
    this.#expectAlive(table);
    for (const [group, { window }] of this.layout.groups.entries()) {
      if (window === null) continue;
      const kept = firstKeptBlock(window, length);
      for (let index = table.runs[group].first; index < kept; index++) {
        this.#blocks.release({ block: table.shiftBlock(group), sequence: table.sequence, group, index });
      }
    }
  }

  /** Whether a sequence has all that is kept of its rows: what is saved. */
  hasAllKept(table: BlockTable): boolean {
    return this.layout.groups.every(
      ({ window }, group) => table.runs[group].first <= firstKeptBlock(window, table.length),
    );
  }

  /** A new sequence with the tokens and the rows of another one, of which it shares all blocks. */
  fork(table: BlockTable): BlockTable {
    this.#expectAlive(table);
    const forked = this.createSequence(table.salt);
    const end = Math.ceil(table.length / BLOCK_SIZE);
    for (const [group, { first, ids }] of table.runs.entries()) {
      forked.beginRun(group, first);
      for (const [i, block] of ids.slice(0, end - first).entries()) {
        forked.appendBlock(group, block);
        this.#blocks.take("shared", { block, sequence: forked.sequence, group, index: first + i });
      }
    }
    forked.append(table.tokens);
    forked.appendRows(table.length);
    if (table.prefix !== null) this.#blocks.index.holdKnown(table.prefix);
    forked.setPrefix(table.prefix, table.numPublished);
    return forked;
  }

  /**
   * Forgets the tokens from `length` on, with the rows that they have, and gives back the blocks that hold no row of the
   * others, last block first. Where a window's keys are gone that the next row would see, no row stays: all are to be
   * computed again.
   * @returns whether the other rows stay
   */
  truncate(table: BlockTable, length: number): boolean {
    const { length: count } = table.tokens;
    if (length > count) throw new Error(`a sequence of ${count} tokens has no token ${length}`);
    const rows = Math.min(length, table.length);
    const isSeen = this.layout.groups.every(
      ({ window }, group) => table.runs[group].first <= firstSeenBlock(window, rows),
    );
    this.#cutRows(table, isSeen ? rows : 0);
    table.forget(length);
    return isSeen;
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
    this.#cutPrefix(table, Math.floor(length / BLOCK_SIZE));
    table.cutRows(length);
    const end = Math.ceil(length / BLOCK_SIZE);
    const { runs } = table;
    const last = runs.reduce((most, run) => Math.max(most, endOf(run)), 0);
    for (let index = last - 1; index >= end; index--) {
      for (let group = runs.length - 1; group >= 0; group--) {
        const run = runs[group];
        if (run.ids.length > 0 && endOf(run) > index) this.#popBlock(table, group);
      }
    }
    if (length === 0) for (const group of runs.keys()) table.beginRun(group, 0);
  }

  #cutPrefix(table: BlockTable, count: number): void {
    let { prefix, numPublished } = table;
    if (numPublished <= count || prefix === null) return;
    const before = prefix;
    for (; numPublished > count && prefix !== null; numPublished--) prefix = prefix.parent;
    if (prefix !== null) this.#blocks.index.holdKnown(prefix);
    this.#blocks.index.letGo(before);
    table.setPrefix(prefix, numPublished);
  }

  #publishFull(table: BlockTable, salt: string): void {
    const full = Math.floor(table.length / BLOCK_SIZE);
    for (let i = table.numPublished; i < full; i++) {
      const before = table.prefix;
      const node = this.#blocks.index.hold({
        parent: before,
        tokens: table.tokens,
        from: i * BLOCK_SIZE,
        salt,
      });
      if (before !== null) this.#blocks.index.letGo(before);
      table.setPrefix(node, i + 1);
      for (const [group, run] of table.runs.entries()) {
        if (i >= run.first) this.#publish(table, group, i, node);
      }
    }
  }

  #publish(table: BlockTable, group: number, index: number, node: PrefixNode): void {
    const { sequence } = table;
    const own: PlacedBlock = { block: blockAt(table, group, index), sequence, group, index };
    const canonical = node.blocks[group];
    if (canonical < 0) this.#blocks.publish(own, node);
    else if (canonical !== own.block) {
      this.#blocks.take("hit", { ...own, block: canonical });
      table.replaceBlock(group, index, canonical);
      this.#blocks.release(own);
    }
  }

  #copyLast(table: BlockTable, group: number, index: number): void {
    const last = blockAt(table, group, index);
    const { sequence } = table;
    const copy = this.#blocks.allocate({ sequence, group, index });
    this.#copyBlock(last, copy);
    this.listener?.({ type: "copied", from: last, to: copy, sequence });
    table.replaceBlock(group, index, copy);
    this.#blocks.release({ block: last, sequence, group, index });
  }

  /** Adds blocks until all runs end where block `end` would begin. */
  #fill(table: BlockTable, end: number): void {
    const { runs, sequence } = table;
    const from = runs.reduce((least, run) => Math.min(least, endOf(run)), end);
    for (let index = from; index < end; index++) {
      for (const [group, run] of runs.entries()) {
        if (endOf(run) === index) {
          table.appendBlock(group, this.#blocks.allocate({ sequence, group, index }));
        }
      }
    }
  }

  #popBlock(table: BlockTable, group: number): void {
    const { first, ids } = table.runs[group];
    const index = first + ids.length - 1;
    this.#blocks.release({ block: table.popBlock(group), sequence: table.sequence, group, index });
  }

  #expectAlive(table: BlockTable): void {
    if (!this.#tables.has(table)) throw new Error("this block table belongs to no sequence of this KV cache");
  }
}

/** Where the block behind a run would begin, in blocks. */
function endOf({ first, ids }: BlockRun): number {
  return first + ids.length;
}

/** The block that holds block `index` of a sequence for a group. */
function blockAt(table: BlockTable, group: number, index: number): number {
  const { first, ids } = table.runs[group];
  return ids[index - first];
}
