/**
 * Which blocks hold a sequence's rows of K and V, and which tokens these rows are of.
 *
 * Row p lives in block `blockIds[⌊p / 16⌋]`, at p mod 16. Rows are appended at the end and cut off at the end, never
 * moved. Changed by its KvCache only.
 */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import { NO_PREFIX } from "./prefix-index.js";

export class BlockTable {
  /** Number of the sequence: unique in its KvCache, never used again. */
  readonly sequence: number;
  /** Sequences with different salts share nothing; null: shared with none. */
  readonly salt: string | null;
  readonly #blockIds: number[] = [];
  readonly #tokens: number[] = [];
  /** Ids of the prefixes that end with the first blocks; as many as are published, from the front. */
  readonly #prefixIds: number[] = [];

  constructor(sequence: number, salt: string | null) {
    this.sequence = sequence;
    this.salt = salt;
  }

  /** Rows written so far. */
  get length(): number {
    return this.#tokens.length;
  }

  /** The tokens of the rows written so far. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** Ids of the blocks held, in order of position; may reach past `length` while rows are being written. */
  get blockIds(): readonly number[] {
    return this.#blockIds;
  }

  /** Rows that fit into the blocks held. */
  get capacity(): number {
    return this.#blockIds.length * BLOCK_SIZE;
  }

  /** Blocks from the front whose prefixes have ids. */
  get numPublished(): number {
    return this.#prefixIds.length;
  }

  /** Id of the prefix that the first `count` blocks hold. */
  prefixId(count: number): number {
    return count === 0 ? NO_PREFIX : this.#prefixIds[count - 1];
  }

  /** Adds a block at the end. */
  appendBlock(block: number): void {
    this.#blockIds.push(block);
  }

  /** Puts another block with the same contents into a place. */
  replaceBlock(index: number, block: number): void {
    this.#blockIds[index] = block;
  }

  /** Takes the last block off. */
  popBlock(): number {
    const block = this.#blockIds.pop();
    if (block === undefined) throw new Error("a block table without blocks has none to give back");
    return block;
  }

  /** Notes the tokens of rows that were written, within the blocks held. */
  appendTokens(tokens: readonly number[]): void {
    if (this.#tokens.length + tokens.length > this.capacity) {
      throw new Error(`${tokens.length} more rows do not fit into ${this.#blockIds.length} KV blocks`);
    }
    for (const token of tokens) this.#tokens.push(token);
  }

  /** Notes that the next full block's prefix has an id. */
  appendPrefixId(id: number): void {
    this.#prefixIds.push(id);
  }

  /** Forgets the rows from `length` on, and the ids of prefixes that reach past it. */
  cutTokens(length: number): void {
    this.#tokens.length = length;
    this.#prefixIds.length = Math.min(this.#prefixIds.length, Math.floor(length / BLOCK_SIZE));
  }
}
