/**
 * A model of symbols, not of numbers: the K and V of a row are one word that depends on all tokens up to it, and so are its logits.
 * Each pass looks at every row that it sees, so that one that is lost, overwritten or another's is noticed at once. Hundreds of times
 * as fast as the smallest model that computes: for tests of what the engine does with sequences and blocks.
 */
import { EngineCore } from "../../src/engine/engine-core.js";
import type { Kernels } from "../../src/kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout, slotOf } from "../../src/kernels/kv-layout.js";
import type { BlockTable } from "../../src/kv-cache/block-table.js";
import { KvCache } from "../../src/kv-cache/kv-cache.js";
import type { Decoder } from "../../src/model/decoder.js";
import type { SequenceRows } from "../../src/model/forward-batch.js";
import type { TierAsk, TierBlock } from "../../src/protocol/tier-messages.js";
import { FakeStore } from "./fake-tier.js";

const WORD = 4;
const BLOCK_BYTES = BLOCK_SIZE * WORD;

export interface SymbolicSizes {
  /** Of each group of layers: so many keys are seen, the last ones; null: all. */
  readonly windows: readonly (number | null)[];
  /** Of all groups together. */
  readonly numBlocks: number;
  readonly contextLength: number;
  readonly tokenBudget: number;
  readonly maxSequences: number;
  readonly maxLogitsRows: number;
}

/** For each token the word of the prefix that ends with it. */
export function wordsOf(tokens: readonly number[]): number[] {
  let word = 1;
  return tokens.map((token) => {
    word = Math.imul(word ^ (token + 0x9e3779b9), 0x85ebca6b);
    word ^= word >>> 15;
    return word;
  });
}

/** What is given as logits, or hidden, of a row: a number that f32 holds. */
export const logitOf = (word: number) => word & 0xffffff;

/** What a group's block holds of a row. */
const keyOf = (word: number, group: number) => word ^ Math.imul(group + 1, 0x27d4eb2f);

/** An engine core whose model is of symbols. */
export function symbolicCore(sizes: SymbolicSizes): EngineCore {
  const { windows, numBlocks, contextLength, tokenBudget, maxSequences, maxLogitsRows } = sizes;
  const slabBytes = numBlocks * BLOCK_BYTES;
  const memory = new ArrayBuffer(slabBytes + WORD * tokenBudget);
  const layout: KvLayout = {
    ...{ dtype: "f32", offset: 0, numBlocks, numLayers: windows.length, numKvHeads: 1, headDim: 1 },
    groups: windows.map((window, group) => ({ window, layers: [group] })),
    places: windows.map((_, group) => ({ group, index: 0 })),
    ...{ headBytes: BLOCK_BYTES, layerBytes: BLOCK_BYTES, blockBytes: BLOCK_BYTES },
  };
  const slab = new Uint8Array(memory);
  const kvCache = new KvCache(layout, {
    copyBlock: (from, to) => slab.copyWithin(to * BLOCK_BYTES, from * BLOCK_BYTES, (from + 1) * BLOCK_BYTES),
  });
  const kernels = {
    multiplyAdds: 0,
    u8: (offset: number, length: number) => new Uint8Array(memory, offset, length),
    f32: (offset: number, length: number) => new Float32Array(memory, offset, length),
    i32: (offset: number, length: number) => new Int32Array(memory, offset, length),
    dispose: async () => undefined,
  };
  const given = { offset: slabBytes, rows: tokenBudget, cols: 1, stride: 1 };
  const batch: SequenceRows[] = [];
  const model = {
    spec: { contextLength, hiddenSize: 1 },
    ...{ maxRows: tokenBudget, maxLogitsRows, maxima: given, rowsComputed: 0, logitsRowsComputed: 0 },
    batch: {
      clear: () => batch.splice(0),
      add: (rows: SequenceRows) => batch.push(rows),
    },
    forward: () => {
      const slots = new Int32Array(memory, 0, numBlocks * BLOCK_SIZE);
      new Float32Array(memory, slabBytes).set(pass(slots, layout, batch, maxLogitsRows, given.rows));
      model.rowsComputed += batch.reduce((sum, { count }) => sum + count, 0);
      return given;
    },
    hiddenRow: (i: number) => ({ ...given, offset: slabBytes + WORD * i, rows: 1 }),
  };
  return new EngineCore({
    model: model as unknown as Decoder,
    kernels: kernels as unknown as Kernels,
    ...{ kvCache, tokenBudget, maxSequences },
  });
}

/** Writes the rows of a pass, and looks at all that they see. @returns what is wanted */
function pass(
  slots: Int32Array,
  { groups }: KvLayout,
  batch: readonly SequenceRows[],
  maxLogitsRows: number,
  maxRows: number,
): number[] {
  const written = new Set<number>();
  const wanted: number[] = [];
  let numRows = 0;
  let numLogits = 0;
  for (const { tokens, from, count, runs, wanted: numWanted, wantedAs } of batch) {
    const words = wordsOf(tokens.slice(0, from + count));
    numRows += count;
    if (wantedAs !== "hidden") numLogits += numWanted;
    for (const [group, { window }] of groups.entries()) {
      for (let position = Math.max(0, from + 1 - (window ?? Infinity)); position < from; position++) {
        const slot = slotOf(runs[group], position);
        if (written.has(slot)) throw new Error(`row ${position} is read and written in one pass`);
        if (slots[slot] !== keyOf(words[position], group)) throw new Error(`row ${position} has other keys`);
      }
      for (let position = from; position < from + count; position++) {
        const slot = slotOf(runs[group], position);
        if (written.has(slot)) throw new Error("two rows are written to one place");
        written.add(slot);
        slots[slot] = keyOf(words[position], group);
      }
    }
    for (let i = from + count - numWanted; i < from + count; i++) wanted.push(logitOf(words[i]));
  }
  if (numRows > maxRows || numLogits > maxLogitsRows) throw new Error("a pass has more rows than it may");
  return wanted;
}

/** Writes what a saved sequence would give: rows of a table from `from` on, as far as it has blocks. */
export function giveRows(core: EngineCore, table: BlockTable, tokens: readonly number[], from: number): void {
  eachSlot(core, table, from, tokens, (slots, slot, key) => {
    slots[slot] = key;
  });
}

/** A tier's store that has every block: what the engine offers is held against it. */
export class SymbolicStore extends FakeStore {
  override put({ tokens, blocks }: Extract<TierAsk, { type: "store" }>): void {
    for (const { group, index, bytes } of blocks) {
      if (Buffer.compare(bytes, bytesOf(tokens, group, index)) !== 0)
        throw new Error("a block is offered with other bytes");
    }
  }

  override get(_salt: string, tokens: Int32Array, group: number, index: number): TierBlock {
    return { group, index, bytes: bytesOf(tokens, group, index) };
  }
}

function bytesOf(tokens: Int32Array, group: number, index: number): Uint8Array<ArrayBuffer> {
  const words = wordsOf([...tokens.subarray(0, (index + 1) * BLOCK_SIZE)]).slice(index * BLOCK_SIZE);
  return new Uint8Array(Int32Array.from(words, (word) => keyOf(word, group)).buffer);
}

/** Looks at all rows that a table has. @throws Error where one is another's */
export function expectOwnRows(core: EngineCore, table: BlockTable): void {
  const { tokens, length, sequence } = table;
  eachSlot(core, table, 0, tokens.slice(0, length), (slots, slot, key, position) => {
    if (slots[slot] !== key) throw new Error(`row ${position} of sequence ${sequence} is not its own`);
  });
}

function eachSlot(
  { kvCache, kernels }: EngineCore,
  { runs }: BlockTable,
  from: number,
  tokens: readonly number[],
  visit: (slots: Int32Array, slot: number, key: number, position: number) => void,
): void {
  const slots = kernels.i32(0, kvCache.layout.numBlocks * BLOCK_SIZE);
  const words = wordsOf(tokens);
  for (const [group, { first, ids }] of runs.entries()) {
    const end = Math.min(tokens.length, (first + ids.length) * BLOCK_SIZE);
    for (let position = Math.max(from, first * BLOCK_SIZE); position < end; position++) {
      visit(slots, slotOf(runs[group], position), keyOf(words[position], group), position);
    }
  }
}
