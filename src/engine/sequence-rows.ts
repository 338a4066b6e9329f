/** Rows of K and V between the KV cache and messages, where they lie tensor after tensor. */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import { readKvRows, writeKvRows } from "../kernels/kv-rows.js";
import type { RowRange } from "../saved-sequence/write-sequence.js";
import type { EngineCore } from "./engine-core.js";
import type { ScheduledSequence } from "./scheduled-sequence.js";

/** Copies of rows of a sequence, all of which are in the cache; in `memory` if it is large enough. */
export function readBlocks(
  { kernels, kvCache }: EngineCore,
  { table }: ScheduledSequence,
  { firstBlock, numBlocks, tensors }: RowRange,
  memory: ArrayBuffer,
): Uint8Array<ArrayBuffer> {
  const from = firstBlock * BLOCK_SIZE;
  const positions = Math.min(table.length, from + numBlocks * BLOCK_SIZE) - from;
  const size = positions * tensors.reduce((sum, { rowBytes }) => sum + rowBytes, 0);
  const rows = new Uint8Array(memory.byteLength >= size ? memory : new ArrayBuffer(size), 0, size);
  let at = 0;
  for (const { layer, part, rowBytes } of tensors) {
    for (let done = 0; done < positions; done += BLOCK_SIZE) {
      const count = Math.min(BLOCK_SIZE, positions - done);
      const block = table.blockIds[(from + done) / BLOCK_SIZE];
      readKvRows(
        kernels,
        kvCache.layout,
        { block, layer, part, count },
        rows.subarray(at, at + count * rowBytes),
      );
      at += count * rowBytes;
    }
  }
  return rows;
}

/** Rows of some blocks, `numRows` of each tensor, of which the first `count` are meant. */
export interface GivenRows {
  readonly firstBlock: number;
  readonly numRows: number;
  readonly count: number;
  readonly tensors: RowRange["tensors"];
  readonly rows: Uint8Array;
}

/**
 * Copies rows into blocks of the cache.
 * @param placeOf the place of the sequence's block `index`; null where it has no room, or has rows already
 */
export function writeBlocks(
  { kernels, kvCache }: EngineCore,
  { firstBlock, numRows, count: allRows, tensors, rows }: GivenRows,
  placeOf: (index: number) => number | null,
): void {
  for (let done = 0; done < allRows; done += BLOCK_SIZE) {
    const block = placeOf(firstBlock + done / BLOCK_SIZE);
    if (block === null) continue;
    const count = Math.min(BLOCK_SIZE, allRows - done);
    let at = 0;
    for (const { layer, part, rowBytes } of tensors) {
      const from = at + done * rowBytes;
      const source = rows.subarray(from, from + count * rowBytes);
      writeKvRows(kernels, kvCache.layout, { block, layer, part, count }, source);
      at += numRows * rowBytes;
    }
  }
}
