/**
 * A sequence's tokens, and which blocks hold the rows of K and V of the first `length` of them.
 *
 * Row p is that of token p, and lives in block `blockIds[⌊p / 16⌋]`, at p mod 16. Rows are appended at the end and cut off
 * at the end, never moved. Whoever computes the sequence appends its tokens, and forgets those without a row; all else is
 * changed by its KvCache only.
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
  #length = 0;
  /** Ids of the prefixes that end with the first blocks; as many as are published, from the front. */
  readonly #prefixIds: number[] = [];

  constructor(sequence: number, salt: string | null) {
    this.sequence = sequence;
    this.salt = salt;
  }

  /** Rows written so far. */
  get length(): number {
    return this.#length;
  }

  /** All tokens; the rows of those behind `length` are not written. */
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

  /** Adds tokens, whose rows are to come. */
  append(tokens: readonly number[]): void {
    for (const token of tokens) this.#tokens.push(token);
  }

  /** Forgets the tokens from `length` on, none of which has a row. */
  forget(length: number): void {
    if (length < this.#length) throw new Error(`${this.#length} rows are written; they are cut first`);
    if (length < this.#tokens.length) this.#tokens.length = length;
  }

  /** Notes that the rows of the next `count` tokens were written, within the blocks held. */
  appendRows(count: number): void {
    const length = this.#length + count;
    if (length > this.capacity) {
      throw new Error(`${count} more rows do not fit into ${this.#blockIds.length} KV blocks`);
    }
    if (length > this.#tokens.length) {
      throw new Error(`${length} rows are more than the ${this.#tokens.length} tokens of the sequence`);
    }
    this.#length = length;
  }

  /** Notes that the next full block's prefix has an id. */
  appendPrefixId(id: number): void {
    this.#prefixIds.push(id);
  }

  /** Forgets the rows from `length` on, and the ids of prefixes that reach past it. */
  cutRows(length: number): void {
    this.#length = length;
    this.#prefixIds.length = Math.min(this.#prefixIds.length, Math.floor(length / BLOCK_SIZE));
  }
}
