/**
 * Single blocks, and what is held of them: a block is taken for new rows, or because it has the contents that are wanted, and
 * given back; full ones can be found by others. Owns the block pool and the prefix index, and tells the listener. What holds a
 * block, and where, is the caller's to keep: each reference is given back once, by the holder that it was taken for.
 */
import { BlockPool } from "./block-pool.js";
import type { KvListener, PlacedBlock } from "./kv-events.js";
import { PrefixIndex, type PrefixNode } from "./prefix-index.js";

/** Where a block is to be: for which group of layers, and as which block of a sequence. */
export type BlockPlace = Omit<PlacedBlock, "block">;

export class HeldBlocks {
  readonly pool: BlockPool;
  readonly index: PrefixIndex;
  /** Told of everything that happens; null costs nothing. */
  listener: KvListener | null = null;
  /** By block: the group of layers that it was last taken for. */
  readonly #groups: Int32Array;

  /** @param hashSeed see `PrefixIndex` */
  constructor(numBlocks: number, numGroups: number, hashSeed: number) {
    this.pool = new BlockPool(numBlocks);
    this.index = new PrefixIndex(numBlocks, numGroups, hashSeed);
    this.#groups = new Int32Array(numBlocks);
  }

  /** The group of layers whose rows a block holds, or held when it was last in use. */
  groupOf(block: number): number {
    return this.#groups[block];
  }

  /**
   * Takes a free block for new rows; what it held can no longer be found.
   * @throws Error when none is free: the caller has counted
   */
  allocate({ sequence, group, index }: BlockPlace): number {
    const block = this.#takeFree(group);
    this.listener?.({ type: "allocated", block, sequence, group, index });
    return block;
  }

  /**
   * Takes a free block for contents that come from elsewhere, and makes it findable when they have been written.
   * @throws Error when none is free; what `write` throws, and the block is as free as before
   */
  load({ sequence, group, index }: BlockPlace, node: PrefixNode, write: (block: number) => void): number {
    const block = this.#takeFree(group);
    try {
      write(block);
    } catch (error) {
      this.pool.discard(block);
      throw error;
    }
    this.index.publish(block, group, node);
    const parent = node.parent?.id ?? 0;
    this.listener?.({ type: "loaded", block, sequence, group, index, prefix: node.id, parent });
    return block;
  }

  /** Takes a block that is there, for its contents. */
  take(type: "hit" | "shared", { block, sequence, group, index }: PlacedBlock): void {
    this.pool.retain(block);
    this.listener?.({ type, block, sequence, group, index });
  }

  /** Gives a block back. What can be found is kept as long as possible; what cannot be asked for again is the next to be used. */
  release({ block, sequence, group, index }: PlacedBlock): void {
    if (this.index.isPublished(block)) this.pool.release(block);
    else this.pool.discard(block);
    if (this.listener === null) return;
    const references = this.pool.refCount(block);
    this.listener({ type: "released", block, sequence, group, index, references });
  }

  /** Makes a full block findable, as that of a prefix. */
  publish({ block, sequence, group }: PlacedBlock, node: PrefixNode): void {
    this.index.publish(block, group, node);
    const parent = node.parent?.id ?? 0;
    this.listener?.({ type: "published", block, sequence, prefix: node.id, parent });
  }

  #takeFree(group: number): number {
    const block = this.pool.allocate();
    if (block === null) throw new Error("the block pool counts more free blocks than it has");
    if (this.index.isPublished(block)) this.unpublish(block);
    this.#groups[block] = group;
    return block;
  }

  /** A block can no longer be found. */
  unpublish(block: number): void {
    this.index.remove(block);
    this.listener?.({ type: "evicted", block });
  }
}
