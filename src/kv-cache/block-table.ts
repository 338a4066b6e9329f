/**
 * A sequence's tokens, and which blocks hold the rows of K and V of the first `length` of them.
 *
 * Row p is that of token p. Each group of layers has a run of blocks: all of the sequence's, or the last ones, which the
 * group's window still sees; the runs of all groups end at the same position. Rows are appended at the end and cut off at
 * the end, never moved; blocks that no window sees any more are given back from the front. What computes the sequence
 * appends its tokens, and forgets those without a row; all else is changed by its KvCache only.
 */
import { BLOCK_SIZE, type BlockRun } from "../kernels/kv-layout.js";
import type { PrefixNode } from "./prefix-index.js";

/** A run that its KvCache changes. */
interface OwnRun extends BlockRun {
  first: number;
  readonly ids: number[];
}

export class BlockTable {
  /** Number of the sequence: unique in its KvCache, never used again. */
  readonly sequence: number;
  /** Sequences with different salts share nothing; null: shared with none. */
  readonly salt: string | null;
  readonly #runs: readonly OwnRun[];
  readonly #tokens: number[] = [];
  #length = 0;
  #prefix: PrefixNode | null = null;
  #numPublished = 0;
  /** Rows that it will have when what a saved sequence gives has been written; else 0. */
  #givenLength = 0;

  constructor(sequence: number, salt: string | null, numGroups: number) {
    this.sequence = sequence;
    this.salt = salt;
    this.#runs = Array.from({ length: numGroups }, () => ({ first: 0, ids: [] }));
  }

  /** Rows written so far. */
  get length(): number {
    return this.#length;
  }

  /** All tokens; the rows of those behind `length` are not written. */
  get tokens(): readonly number[] {
    return this.#tokens;
  }

  /** The blocks held, by group of layers; may reach past `length` while rows are being written. */
  get runs(): readonly BlockRun[] {
    return this.#runs;
  }

  /** Ids of all blocks held, group after group, in order of position. */
  get blockIds(): readonly number[] {
    return this.#runs.length === 1 ? this.#runs[0].ids : this.#runs.flatMap(({ ids }) => ids);
  }

  /** Blocks held. */
  get numBlocks(): number {
    let sum = 0;
    for (const { ids } of this.#runs) sum += ids.length;
    return sum;
  }

  /** Rows that fit into the blocks held. */
  get capacity(): number {
    let end = Number.POSITIVE_INFINITY;
    for (const { first, ids } of this.#runs) end = Math.min(end, first + ids.length);
    return end * BLOCK_SIZE;
  }

  /** Blocks of tokens from the front whose prefixes are known to the index. */
  get numPublished(): number {
    return this.#numPublished;
  }

  /** The prefix of so many blocks; null: the empty one. */
  get prefix(): PrefixNode | null {
    return this.#prefix;
  }

  /** What `beginGiven` was told, until these rows are there. */
  get givenLength(): number {
    return this.#givenLength;
  }

  /** Adds a block at the end of a group's run. */
  appendBlock(group: number, block: number): void {
    this.#runs[group].ids.push(block);
  }

  /** Puts another block with the same contents into the place of block `index` of the sequence. */
  replaceBlock(group: number, index: number, block: number): void {
    const { first, ids } = this.#runs[group];
    ids[index - first] = block;
  }

  /** Takes the last block of a group's run off. */
  popBlock(group: number): number {
    const block = this.#runs[group].ids.pop();
    if (block === undefined) throw new Error("a block table without blocks has none to give back");
    return block;
  }

  /** Takes the first block of a group's run off. */
  shiftBlock(group: number): number {
    const run = this.#runs[group];
    const block = run.ids.shift();
    if (block === undefined) throw new Error("a block table without blocks has none to give back");
    run.first += 1;
    return block;
  }

  /** Lets a group's run, which has no blocks, begin with block `index` of the sequence. */
  beginRun(group: number, index: number): void {
    const run = this.#runs[group];
    if (run.ids.length > 0) throw new Error("a run that has blocks has begun");
    run.first = index;
  }

  /** Notes that rows up to `length` will be given, with nothing before what is kept of so many. */
  beginGiven(length: number): void {
    this.#givenLength = length;
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
      throw new Error(`${count} more rows do not fit into ${this.numBlocks} KV blocks`);
    }
    if (length > this.#tokens.length) {
      throw new Error(`${length} rows are more than the ${this.#tokens.length} tokens of the sequence`);
    }
    this.#length = length;
    if (length >= this.#givenLength) this.#givenLength = 0;
  }

  /** Notes the prefix of the first `count` blocks. */
  setPrefix(prefix: PrefixNode | null, count: number): void {
    this.#prefix = prefix;
    this.#numPublished = count;
  }

  /** Forgets the rows from `length` on. */
  cutRows(length: number): void {
    this.#length = length;
    if (length === 0) this.#givenLength = 0;
  }
}
