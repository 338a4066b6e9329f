/** Rows of K and V between the KV cache and messages, where they lie tensor after tensor. */
import type { Kernels } from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import type { RowRange } from "../kernels/kv-rows.js";
import { readKvRows, writeKvRows } from "../kernels/kv-rows.js";
import { KV_TYPES } from "../kernels/kv-types.js";
import type { BlockTable } from "../kv-cache/block-table.js";
import type { Decoder } from "../model/decoder.js";

/** Where rows lie, and what reads and writes them. */
export interface RowSpace {
  readonly kernels: Kernels;
  readonly kv: KvLayout;
  readonly model: Pick<Decoder, "maxRows" | "writeKnownRows">;
}

/** Copies of rows of a sequence, all of which are in the cache; in `memory` if it is large enough. */
export function readBlocks(
  { kernels, kv }: RowSpace,
  table: BlockTable,
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
      readKvRows(kernels, kv, { block, layer, part, count }, rows.subarray(at, at + count * rowBytes));
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
  space: RowSpace,
  given: GivenRows,
  placeOf: (index: number) => number | null,
): void {
  const { kv, model } = space;
  // The kernels are the fastest to write rows, but would quantise what is quantised already; and with a
  // small token budget there is no room for a block's rows to be handed to them.
  const fitsKernels = KV_TYPES[kv.dtype].keepsRows && model.maxRows >= BLOCK_SIZE;
  const write = fitsKernels ? writeWithKernels : writeBlockByBlock;
  let placed: PlacedBlock[] = [];
  for (let row = 0; row < given.count; row += BLOCK_SIZE) {
    const block = placeOf(given.firstBlock + row / BLOCK_SIZE);
    if (block !== null) placed.push({ block, row, count: Math.min(BLOCK_SIZE, given.count - row) });
    if (placed.length > 0 && (block === null || (placed.length + 1) * BLOCK_SIZE > model.maxRows)) {
      write(space, given, placed);
      placed = [];
    }
  }
  if (placed.length > 0) write(space, given, placed);
}

/** A block, and its rows among the given ones. */
interface PlacedBlock {
  readonly block: number;
  readonly row: number;
  readonly count: number;
}

/** Rows that follow one another, no more than the model takes at a time. */
function writeWithKernels(
  { model, kv }: RowSpace,
  { numRows, tensors, rows }: GivenRows,
  placed: readonly PlacedBlock[],
): void {
  const first = placed[0].row;
  const slots = placed.flatMap(({ block, count }) =>
    Array.from({ length: count }, (_, i) => block * BLOCK_SIZE + i),
  );
  const parts = new Map<string, Uint8Array>();
  let at = 0;
  for (const { layer, part, rowBytes } of tensors) {
    const from = at + first * rowBytes;
    parts.set(`${part} ${layer}`, rows.subarray(from, from + slots.length * rowBytes));
    at += numRows * rowBytes;
  }
  for (let layer = 0; layer < kv.numLayers; layer++) {
    const [keys, values] = [parts.get(`key ${layer}`), parts.get(`value ${layer}`)];
    if (keys === undefined || values === undefined) throw new Error(`rows of layer ${layer} are missing`);
    model.writeKnownRows(kv, layer, { keys, values }, slots);
  }
}

function writeBlockByBlock(
  { kernels, kv }: RowSpace,
  { numRows, tensors, rows }: GivenRows,
  placed: readonly PlacedBlock[],
): void {
  for (const { block, row, count } of placed) {
    let at = 0;
    for (const { layer, part, rowBytes } of tensors) {
      const from = at + row * rowBytes;
      const source = rows.subarray(from, from + count * rowBytes);
      writeKvRows(kernels, kv, { block, layer, part, count }, source);
      at += numRows * rowBytes;
    }
  }
}
