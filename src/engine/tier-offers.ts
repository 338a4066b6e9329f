/**
 * Blocks that a KV tier is offered: full ones of prompts, when they are computed or when another sequence takes them, as the
 * tier's policy says. They are copied a few at a time, for a small part of what steps take, and for longer only while there is
 * nothing to compute; nothing waits for it.
 *
 * Owns what waits to be copied, and the memory that is under way. What waits is prefixes, not blocks: one that is evicted
 * before its turn is not offered. No block is offered twice, nor one that came from the tier.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { KvCache } from "../kv-cache/kv-cache.js";
import type { PrefixNode } from "../kv-cache/prefix-index.js";
import type { TierPolicy } from "../protocol/kv-tier.js";
import type { TierAsk, TierBlock } from "../protocol/tier-messages.js";
import type { ScheduledSequence } from "./scheduled-sequence.js";

/** Most bytes that are under way to the tier. */
const MOST_BYTES = 64 * 1024 * 1024;
/** Most bytes that are kept for the next copies. */
const SPARE_BYTES = 16 * 1024 * 1024;
/** Most prefixes that wait; behind them the oldest are given up. */
const MOST_WAITING = 4096;
/** Prompts of so many tokens are offered when they are computed. */
const LONG_PROMPT = 256;
/** Copying may take so much of a step, and what steps leave is kept for no longer than this. */
const SHARE_OF_STEP = 0.006;
const MOST_CREDIT_MS = 10;
/** Milliseconds of copying before the event loop has a turn, while there is nothing to compute. */
const IDLE_MS = 2;

export interface OffersParts {
  readonly kvCache: KvCache;
  /** A view of all bytes of a block. */
  readonly bytesOf: (block: number) => Uint8Array;
  readonly post: (ask: TierAsk, transfer: ArrayBuffer[]) => void;
  readonly policy: Pick<TierPolicy, "write">;
  /** In milliseconds. */
  readonly now: () => number;
}

export class TierOffers {
  readonly #parts: OffersParts;
  /** In the order in which they came. */
  readonly #waiting = new Set<PrefixNode>();
  /** By block: the id of the prefix as whose block it was offered, or loaded. */
  readonly #known: Float64Array;
  readonly #spare: ArrayBuffer[] = [];
  #takesStores = true;
  #bytesUnderWay = 0;
  /** Milliseconds that copying may take now. */
  #creditMs = 0;
  #stores = 0;
  #dropped = 0;

  constructor(parts: OffersParts) {
    this.#parts = parts;
    this.#known = new Float64Array(parts.kvCache.pool.numBlocks);
  }

  /** Whether something can be copied now. */
  get hasMore(): boolean {
    return this.#waiting.size > 0 && this.#hasRoom;
  }

  get stats() {
    return { stores: this.#stores, droppedStores: this.#dropped };
  }

  /** Whether the tier takes blocks now. */
  setTaking(takesStores: boolean): void {
    this.#takesStores = takesStores;
    if (!takesStores) this.#waiting.clear();
  }

  /** Blocks `from … to − 1` of a sequence were computed just now. */
  computed(sequence: ScheduledSequence, from: number, to: number): void {
    const { write } = this.#parts.policy;
    const isLong = sequence.numPromptTokens >= LONG_PROMPT;
    if (write === "first" || (write === "auto" && isLong)) this.#offer(sequence, from, to);
  }

  /** A sequence was admitted, and has taken what was there. */
  taken(sequence: ScheduledSequence): void {
    // One that was preempted takes its own.
    if (sequence.numPreemptions === 0) this.#offer(sequence, 0, sequence.table.numPublished);
  }

  /** The tier has a block that is published. */
  know(block: number): void {
    this.#known[block] = this.#parts.kvCache.index.nodeOf(block)?.id ?? 0;
  }

  /** Memory comes back. */
  takeBack(buffers: readonly ArrayBuffer[]): void {
    const { blockBytes } = this.#parts.kvCache.layout;
    for (const buffer of buffers) {
      if (buffer.byteLength !== blockBytes) continue;
      this.#bytesUnderWay = Math.max(0, this.#bytesUnderWay - blockBytes);
      if ((this.#spare.length + 1) * blockBytes <= SPARE_BYTES) this.#spare.push(buffer);
    }
  }

  /** Copies what fits into a small part of a step that took so long. */
  afterStep(ms: number): void {
    this.#creditMs = Math.min(MOST_CREDIT_MS, this.#creditMs + SHARE_OF_STEP * ms);
    if (this.hasMore && this.#creditMs > 0) this.#creditMs -= this.#copyFor(this.#creditMs);
  }

  /** Copies for a moment: there is nothing to compute. */
  whileIdle(): void {
    if (this.hasMore) this.#copyFor(IDLE_MS);
  }

  /** The tier takes nothing more. */
  lose(): void {
    this.setTaking(false);
    this.#spare.length = 0;
  }

  get #hasRoom(): boolean {
    return this.#bytesUnderWay + this.#parts.kvCache.layout.blockBytes <= MOST_BYTES;
  }

  #offer({ table, numPromptTokens }: ScheduledSequence, from: number, to: number): void {
    if (!this.#takesStores) return;
    const end = Math.min(to, Math.floor(numPromptTokens / BLOCK_SIZE));
    const nodes: PrefixNode[] = [];
    let node = table.prefix;
    for (let index = table.numPublished - 1; index >= from && node !== null; index--) {
      if (index < end && !this.#waiting.has(node) && this.#nextOf(node) !== null) nodes.push(node);
      node = node.parent;
    }
    for (const next of nodes.reverse()) this.#waiting.add(next);
    for (const oldest of this.#waiting) {
      if (this.#waiting.size <= MOST_WAITING) break;
      this.#waiting.delete(oldest);
      this.#dropped += 1;
    }
  }

  /** The first group whose block of a prefix is there and not known to the tier. */
  #nextOf({ id, blocks }: PrefixNode): number | null {
    const group = blocks.findIndex((block) => block >= 0 && this.#known[block] !== id);
    return group === -1 ? null : group;
  }

  /** Copies and posts for so many milliseconds, at least one block. @returns how long it took */
  #copyFor(ms: number): number {
    const { now } = this.#parts;
    const start = now();
    let last: PrefixNode | null = null;
    let blocks: TierBlock[] = [];
    for (const node of this.#waiting) {
      if (last !== null && node.parent !== last) {
        this.#post(last, blocks);
        blocks = [];
      }
      last = node;
      if (this.#copyNode(node, blocks)) this.#waiting.delete(node);
      if (!this.#hasRoom || now() - start >= ms) break;
    }
    if (last !== null) this.#post(last, blocks);
    return now() - start;
  }

  /** Copies the blocks of a prefix as far as there is room. @returns whether all were */
  #copyNode(node: PrefixNode, blocks: TierBlock[]): boolean {
    const { bytesOf } = this.#parts;
    let index = -1;
    for (let group = this.#nextOf(node); group !== null; group = this.#nextOf(node)) {
      if (!this.#hasRoom) return false;
      if (index === -1) index = depthOf(node) - 1;
      const block = node.blocks[group];
      const source = bytesOf(block);
      const bytes = new Uint8Array(this.#spare.pop() ?? new ArrayBuffer(source.length));
      bytes.set(source);
      this.#known[block] = node.id;
      this.#bytesUnderWay += source.length;
      this.#stores += 1;
      blocks.push({ group, index, bytes });
    }
    return true;
  }

  /** @param last of a chain of prefixes, of which these are blocks */
  #post(last: PrefixNode, blocks: readonly TierBlock[]): void {
    if (blocks.length === 0) return;
    const { salt, tokens } = this.#parts.kvCache.index.prefixOf(last);
    this.#parts.post(
      { type: "store", salt, tokens, blocks },
      blocks.map(({ bytes }) => bytes.buffer),
    );
  }
}

function depthOf(node: PrefixNode): number {
  let depth = 0;
  for (let at: PrefixNode | null = node; at !== null; at = at.parent) depth += 1;
  return depth;
}
