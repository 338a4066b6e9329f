/**
 * What a forward pass is handed: rows of new tokens, of one sequence or of many, as lists in the kernels' memory. Made
 * once and filled anew for each pass, so that a pass allocates nothing. Owns those lists; nothing about sequences, cache
 * or mode is ambient.
 */
import type { IndexList, Kernels } from "../kernels/kernels.js";
import { BLOCK_SIZE, slotOf } from "../kernels/kv-layout.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";

/** New rows of one sequence. */
export interface SequenceRows {
  /** All its tokens as far as they are fed, the earlier ones included. */
  readonly tokens: readonly number[];
  /** Position of the first new row. */
  readonly from: number;
  /** How many new rows, at least one: positions from … from + count − 1. */
  readonly count: number;
  /** Block ids of the sequence: row p of its K and V is in block ⌊p / 16⌋. Covers the new rows. */
  readonly blockIds: readonly number[];
  /** How many of the last new rows become logits, 0 … count. */
  readonly wanted: number;
}

/** Places of the lists, planned before the memory exists. */
export interface ForwardBatchPlan {
  readonly tokenIds: IndexList;
  readonly positions: IndexList;
  readonly slots: IndexList;
  readonly sequences: IndexList;
  readonly wantedRows: IndexList;
  readonly wantedPositions: IndexList;
  readonly wantedSequences: IndexList;
  readonly blockTables: IndexList;
}

export interface ForwardBatchSizes {
  readonly maxRows: number;
  readonly maxLogitsRows: number;
  readonly maxSequences: number;
  /** Blocks that one sequence has at most. */
  readonly blocksPerContext: number;
}

export function planForwardBatch(plan: MemoryPlan, sizes: ForwardBatchSizes): ForwardBatchPlan {
  const { maxRows, maxLogitsRows, maxSequences, blocksPerContext } = sizes;
  return {
    tokenIds: plan.indices(maxRows),
    positions: plan.indices(maxRows),
    slots: plan.indices(maxRows),
    sequences: plan.indices(2 * maxSequences),
    wantedRows: plan.indices(maxLogitsRows),
    wantedPositions: plan.indices(maxLogitsRows),
    wantedSequences: plan.indices(2 * maxSequences),
    blockTables: plan.indices(maxSequences * blocksPerContext),
  };
}

/** A list of up to as many entries as were planned. */
class BoundedList implements IndexList {
  readonly offset: number;
  length = 0;
  readonly #entries: Int32Array;

  constructor(kernels: Kernels, { offset, length }: IndexList) {
    this.offset = offset;
    this.#entries = kernels.i32(offset, length);
  }

  /** Byte offset of the entry that comes next. */
  get end(): number {
    return this.offset + 4 * this.length;
  }

  at(index: number): number {
    return this.#entries[index];
  }

  push(value: number): void {
    if (this.length === this.#entries.length)
      throw new Error("a forward pass was given more than was planned");
    this.#entries[this.length] = value;
    this.length += 1;
  }
}

export class ForwardBatch {
  /** (T) */
  readonly tokenIds: BoundedList;
  /** (T) absolute positions, ascending by one within a sequence. */
  readonly positions: BoundedList;
  /** (T) slots that take the rows' K and V: block id · 16 + position mod 16. */
  readonly slots: BoundedList;
  /** As `AttentionCall.sequences`, for all rows. */
  readonly sequences: BoundedList;
  /** (N) which rows become logits, ascending; their positions; and whose they are, as in `sequences`. */
  readonly wantedRows: BoundedList;
  readonly wantedPositions: BoundedList;
  readonly wantedSequences: BoundedList;
  readonly #blockTables: BoundedList;

  constructor(kernels: Kernels, plan: ForwardBatchPlan) {
    this.tokenIds = new BoundedList(kernels, plan.tokenIds);
    this.positions = new BoundedList(kernels, plan.positions);
    this.slots = new BoundedList(kernels, plan.slots);
    this.sequences = new BoundedList(kernels, plan.sequences);
    this.wantedRows = new BoundedList(kernels, plan.wantedRows);
    this.wantedPositions = new BoundedList(kernels, plan.wantedPositions);
    this.wantedSequences = new BoundedList(kernels, plan.wantedSequences);
    this.#blockTables = new BoundedList(kernels, plan.blockTables);
  }

  /** T */
  get numRows(): number {
    return this.tokenIds.length;
  }

  /** N: rows that become logits. */
  get numWanted(): number {
    return this.wantedRows.length;
  }

  /** Empties it for the next pass. */
  clear(): void {
    this.tokenIds.length = 0;
    this.positions.length = 0;
    this.slots.length = 0;
    this.sequences.length = 0;
    this.wantedRows.length = 0;
    this.wantedPositions.length = 0;
    this.wantedSequences.length = 0;
    this.#blockTables.length = 0;
  }

  /** Adds the rows of one sequence, behind those of others. */
  add({ tokens, from, count, blockIds, wanted }: SequenceRows): void {
    const blockTable = this.#blockTables.end;
    const end = from + count;
    for (let i = 0; i * BLOCK_SIZE < end; i++) this.#blockTables.push(blockIds[i]);
    this.sequences.push(count);
    this.sequences.push(blockTable);
    if (wanted > 0) {
      this.wantedSequences.push(wanted);
      this.wantedSequences.push(blockTable);
    }
    for (let position = from; position < end; position++) {
      if (position >= end - wanted) {
        this.wantedRows.push(this.numRows);
        this.wantedPositions.push(position);
      }
      this.tokenIds.push(tokens[position]);
      this.positions.push(position);
      this.slots.push(slotOf(blockIds, position));
    }
  }
}
