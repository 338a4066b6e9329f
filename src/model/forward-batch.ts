/**
 * What a forward pass is handed: rows of new tokens, of one sequence or of many, as lists in the kernels' memory. Made
 * once and filled anew for each pass, so that a pass allocates nothing. Owns those lists; nothing about sequences, cache
 * or mode is ambient.
 */
import type { IndexList, Kernels } from "../kernels/kernels.js";
import { BLOCK_SIZE, type BlockRun, firstSeenBlock, type LayerGroup, slotOf } from "../kernels/kv-layout.js";
import type { MemoryPlan } from "../kernels/memory-plan.js";

/**
 * As what rows are wanted: as `logits`, or as they are after the final norm, `hidden`, which is what the head makes logits of.
 */
export type WantedAs = "logits" | "hidden";

/** New rows of one sequence. */
export interface SequenceRows {
  /** All its tokens as far as they are fed, the earlier ones included. */
  readonly tokens: readonly number[];
  /** Position of the first new row. */
  readonly from: number;
  /** How many new rows, at least one: positions from … from + count − 1. */
  readonly count: number;
  /** Its blocks of each group of layers: they cover the new rows, and what these see. */
  readonly runs: readonly BlockRun[];
  /** How many of the last new rows are wanted, 0 … count. */
  readonly wanted: number;
  /** Default: as logits. Sequences that want those come first. */
  readonly wantedAs?: WantedAs;
}

/** Places of the lists, planned before the memory exists. */
export interface ForwardBatchPlan {
  readonly tokenIds: IndexList;
  readonly positions: IndexList;
  readonly wantedRows: IndexList;
  readonly wantedPositions: IndexList;
  readonly groups: readonly GroupPlan[];
}

/** Lists that are others for each group of layers. */
interface GroupPlan {
  readonly window: LayerGroup["window"];
  readonly slots: IndexList;
  readonly sequences: IndexList;
  readonly wantedSequences: IndexList;
  readonly blockTables: IndexList;
}

export interface ForwardBatchSizes {
  readonly maxRows: number;
  readonly maxSequences: number;
  readonly contextLength: number;
  readonly groups: readonly LayerGroup[];
}

export function planForwardBatch(plan: MemoryPlan, sizes: ForwardBatchSizes): ForwardBatchPlan {
  const { maxRows, maxSequences, contextLength, groups } = sizes;
  return {
    tokenIds: plan.indices(maxRows),
    positions: plan.indices(maxRows),
    wantedRows: plan.indices(maxRows),
    wantedPositions: plan.indices(maxRows),
    groups: groups.map(({ window }) => ({
      window,
      slots: plan.indices(maxRows),
      sequences: plan.indices(2 * maxSequences),
      wantedSequences: plan.indices(2 * maxSequences),
      blockTables: plan.indices(tableEntries(window, { maxRows, maxSequences, contextLength })),
    })),
  };
}

/** Blocks that the rows of a pass see at most, counted for each sequence. */
function tableEntries(
  window: LayerGroup["window"],
  { maxRows, maxSequences, contextLength }: Omit<ForwardBatchSizes, "groups">,
): number {
  const all = maxSequences * Math.ceil(contextLength / BLOCK_SIZE);
  if (window === null) return all;
  // A sequence of r rows sees at most window + r − 1 positions, which begin anywhere in a block.
  return Math.min(
    all,
    Math.ceil((maxSequences * (window + BLOCK_SIZE) + maxRows) / BLOCK_SIZE) + maxSequences,
  );
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

  /** Empties it for the next pass. */
  clear(): void {
    this.length = 0;
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

/** The lists of one group of layers. */
class GroupLists {
  /** (T) slots that take the rows' K and V: block id · 16 + position mod 16. */
  readonly slots: BoundedList;
  /** As `AttentionCall.sequences`, for all rows, and for those that are wanted. */
  readonly sequences: BoundedList;
  readonly wantedSequences: BoundedList;
  readonly #window: LayerGroup["window"];
  readonly #blockTables: BoundedList;

  constructor(kernels: Kernels, plan: GroupPlan) {
    this.#window = plan.window;
    this.slots = new BoundedList(kernels, plan.slots);
    this.sequences = new BoundedList(kernels, plan.sequences);
    this.wantedSequences = new BoundedList(kernels, plan.wantedSequences);
    this.#blockTables = new BoundedList(kernels, plan.blockTables);
  }

  clear(): void {
    this.slots.clear();
    this.sequences.clear();
    this.wantedSequences.clear();
    this.#blockTables.clear();
  }

  /** Rows `from … end − 1` of a sequence, the last `wanted` of which are wanted. */
  add(
    run: BlockRun,
    { from, end, wanted }: { readonly from: number; readonly end: number; readonly wanted: number },
  ): void {
    const first = firstSeenBlock(this.#window, from);
    // Where entry 0 would be: those before the first seen block are not there.
    const blockTable = this.#blockTables.end - 4 * first;
    for (let i = first; i * BLOCK_SIZE < end; i++) this.#blockTables.push(run.ids[i - run.first]);
    this.sequences.push(end - from);
    this.sequences.push(blockTable);
    if (wanted > 0) {
      this.wantedSequences.push(wanted);
      this.wantedSequences.push(blockTable);
    }
    for (let position = from; position < end; position++) this.slots.push(slotOf(run, position));
  }
}

export class ForwardBatch {
  /** (T) */
  readonly tokenIds: BoundedList;
  /** (T) absolute positions, ascending by one within a sequence. */
  readonly positions: BoundedList;
  /** (N) which rows are wanted, ascending, those that become logits first; and their positions. */
  readonly wantedRows: BoundedList;
  readonly wantedPositions: BoundedList;
  /** For each group of layers. */
  readonly groups: readonly GroupLists[];
  /**
   * Of each sequence its rows, how many of them are wanted, as logits or not, and the block of its last one: two batches alike
   * in this are fed by the same operations, which read what is in the lists.
   */
  readonly shape: number[] = [];
  #numLogits = 0;

  constructor(kernels: Kernels, plan: ForwardBatchPlan) {
    this.tokenIds = new BoundedList(kernels, plan.tokenIds);
    this.positions = new BoundedList(kernels, plan.positions);
    this.wantedRows = new BoundedList(kernels, plan.wantedRows);
    this.wantedPositions = new BoundedList(kernels, plan.wantedPositions);
    this.groups = plan.groups.map((group) => new GroupLists(kernels, group));
  }

  /** T */
  get numRows(): number {
    return this.tokenIds.length;
  }

  /** N: rows that are wanted, in whatever form. */
  get numWanted(): number {
    return this.wantedRows.length;
  }

  /** L: those of them that become logits, the first ones. */
  get numLogits(): number {
    return this.#numLogits;
  }

  /** Empties it for the next pass. */
  clear(): void {
    this.tokenIds.clear();
    this.positions.clear();
    this.wantedRows.clear();
    this.wantedPositions.clear();
    this.#numLogits = 0;
    this.shape.length = 0;
    for (const group of this.groups) group.clear();
  }

  /** Adds the rows of one sequence, behind those of others. */
  add({ tokens, from, count, runs, wanted, wantedAs = "logits" }: SequenceRows): void {
    const end = from + count;
    if (wantedAs === "logits" && wanted > 0) {
      if (this.numWanted > this.#numLogits) throw new Error("rows that become logits come before others");
      this.#numLogits += wanted;
    }
    const lastBlock = Math.floor((end - 1) / BLOCK_SIZE);
    this.shape.push(count, wanted, wantedAs === "logits" ? 1 : 0, lastBlock);
    for (let i = 0; i < this.groups.length; i++) this.groups[i].add(runs[i], { from, end, wanted });
    for (let position = from; position < end; position++) {
      if (position >= end - wanted) {
        this.wantedRows.push(this.numRows);
        this.wantedPositions.push(position);
      }
      this.tokenIds.push(tokens[position]);
      this.positions.push(position);
    }
  }
}
