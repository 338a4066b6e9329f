/**
 * Takes blocks of a prefix into the KV cache that were computed elsewhere: the one way for them to get there. Opened for a
 * prefix of which the first blocks are there already; each further block is written, and can be found from then on. Until it is
 * closed it holds them all, those that were there included, so that they still are when a sequence takes them.
 *
 * Owns its references, one for each block that it holds; it has a number like a sequence's, under which events tell of them.
 * What is handed in must have been verified: nothing here can tell whether bytes are right.
 */
import { BLOCK_SIZE, type BlockRun, type LayerGroup } from "../kernels/kv-layout.js";
import type { HeldBlocks } from "./held-blocks.js";
import type { PrefixNode } from "./prefix-index.js";

const NONE = -1;

export interface AdoptedPrefix {
  readonly salt: string;
  readonly tokens: ArrayLike<number>;
  /** What is there of it, by group of layers: as `KvCache.findPrefix` found it. */
  readonly runs: readonly BlockRun[];
  /** Blocks of it that are there, and that it has. */
  readonly from: number;
  readonly to: number;
}

export class Adoption {
  /** Its number. */
  readonly sequence: number;
  /** Blocks of the prefix that were there when it was opened: those from here on are taken … */
  readonly from: number;
  /** … up to here. */
  readonly to: number;
  /** By group of layers: the first block that was there without a gap up to `from`. */
  readonly localFrom: readonly number[];
  readonly #blocks: HeldBlocks;
  readonly #groups: readonly LayerGroup[];
  /** The prefixes that end with each of its blocks: the last one is held, and keeps the others. */
  readonly nodes: readonly PrefixNode[];
  /** By group, then by number in the prefix: the block that is held. */
  readonly #held: readonly Int32Array[];
  #numHeld = 0;
  #isClosed = false;

  constructor(
    blocks: HeldBlocks,
    groups: readonly LayerGroup[],
    { salt, tokens, runs, from, to }: AdoptedPrefix,
    sequence: number,
  ) {
    this.sequence = sequence;
    this.from = from;
    this.to = to;
    this.localFrom = runs.map(({ first }) => first);
    this.#blocks = blocks;
    this.#groups = groups;
    this.nodes = prefixesOf(blocks, { salt, tokens, to });
    this.#held = groups.map(() => new Int32Array(to).fill(NONE));
    for (const [group, { first, ids }] of runs.entries()) {
      for (const [i, block] of ids.entries()) this.#take(group, first + i, block);
    }
  }

  /** Blocks that it holds. */
  get numHeld(): number {
    return this.#numHeld;
  }

  /** Block `index` of a group that it holds, or −1. For checks. */
  heldAt(group: number, index: number): number {
    return this.#held[group][index];
  }

  /**
   * Takes a block in, unless the prefix has it already.
   * @param index its number in the prefix
   * @param write writes all bytes of a block of the pool
   * @returns `unasked` for what is not of this prefix's blocks; `no room` when no block is free: in both cases nothing has
   *   changed
   */
  add(
    group: number,
    index: number,
    write: (block: number) => void,
  ): "loaded" | "present" | "unasked" | "no room" {
    const isOfPrefix =
      group in this.#held && Number.isInteger(index) && index >= this.from && index < this.to;
    if (this.#isClosed || !isOfPrefix) return "unasked";
    const node = this.nodes[index];
    const present = node.blocks[group];
    if (present !== NONE) {
      // Computed meanwhile, or left from before: it has the same contents.
      if (this.#held[group][index] !== present) this.#take(group, index, present);
      return "present";
    }
    if (this.#blocks.pool.numFree === 0) return "no room";
    const { sequence } = this;
    this.#held[group][index] = this.#blocks.load({ sequence, group, index }, node, write);
    this.#numHeld += 1;
    return "loaded";
  }

  /**
   * Called by its KvCache, once. Gives all its blocks back, the tail first: they can be found until their space is needed. What
   * cannot be found any more, behind a block that did not come, is the next to be used.
   */
  close(): void {
    this.#isClosed = true;
    const { pool, index: prefixes } = this.#blocks;
    const end = this.#findableEnd();
    this.#takeOthers(end);
    for (let index = this.to - 1; index >= 0; index--) {
      for (let group = this.#held.length - 1; group >= 0; group--) {
        const block = this.#held[group][index];
        if (block === NONE) continue;
        const isOwn = pool.refCount(block) === 1 && prefixes.isPublished(block);
        if (index >= end && isOwn) this.#blocks.unpublish(block);
        this.#blocks.release({ block, sequence: this.sequence, group, index });
      }
    }
    this.#numHeld = 0;
    const last = this.nodes.at(-1);
    if (last !== undefined) prefixes.letGo(last);
  }

  #take(group: number, index: number, block: number): void {
    this.#blocks.take("hit", { block, sequence: this.sequence, group, index });
    this.#held[group][index] = block;
    this.#numHeld += 1;
  }

  /**
   * Takes what others have computed before its last block, up to `end`: a sequence may have given it back already, and would it be used
   * again first, nothing behind it could be found.
   */
  #takeOthers(end: number): void {
    const last = this.#held.reduce((most, ofGroup) => {
      return Math.max(
        most,
        ofGroup.findLastIndex((block) => block !== NONE),
      );
    }, -1);
    for (let index = this.from; index < Math.min(end, last); index++) {
      for (const [group, block] of this.nodes[index].blocks.entries()) {
        if (block !== NONE && this.#held[group][index] === NONE) this.#take(group, index, block);
      }
    }
  }

  /** Behind this block nothing can be found: layers that see everything have a gap there. */
  #findableEnd(): number {
    const isMissing = ({ blocks }: PrefixNode) =>
      this.#groups.some(({ window }, group) => window === null && blocks[group] === NONE);
    const gap = this.nodes.findIndex(isMissing);
    return gap === -1 ? this.to : gap;
  }
}

/** The prefixes of 1 to `to` blocks, the last one held for the adoption. */
function prefixesOf(
  { index }: HeldBlocks,
  { salt, tokens, to }: Pick<AdoptedPrefix, "salt" | "tokens" | "to">,
): PrefixNode[] {
  const nodes: PrefixNode[] = [];
  let parent: PrefixNode | null = null;
  for (let i = 0; i < to; i++) {
    const node = index.hold({ parent, tokens, from: i * BLOCK_SIZE, salt });
    if (parent !== null) index.letGo(parent);
    nodes.push(node);
    parent = node;
  }
  return nodes;
}
