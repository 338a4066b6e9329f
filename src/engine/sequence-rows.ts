/** Rows of K and V between the KV cache and messages, where they lie tensor after tensor. */
import { BLOCK_SIZE } from "../kernels/kv-layout.js";
import type { RowRange } from "../kernels/kv-rows.js";
import { readKvRows, writeKvRows } from "../kernels/kv-rows.js";
import { KV_TYPES } from "../kernels/kv-types.js";
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
  core: EngineCore,
  given: GivenRows,
  placeOf: (index: number) => number | null,
): void {
  const { dtype } = core.kvCache.layout;
  // The kernels are the fastest to write rows, but would quantise what is quantised already; and with a
  // small token budget there is no room for a block's rows to be handed to them.
  const fitsKernels = KV_TYPES[dtype].keepsRows && core.model.maxRows >= BLOCK_SIZE;
  const write = fitsKernels ? writeWithKernels : writeBlockByBlock;
  let placed: PlacedBlock[] = [];
  for (let row = 0; row < given.count; row += BLOCK_SIZE) {
    const block = placeOf(given.firstBlock + row / BLOCK_SIZE);
    if (block !== null) placed.push({ block, row, count: Math.min(BLOCK_SIZE, given.count - row) });
    if (placed.length > 0 && (block === null || (placed.length + 1) * BLOCK_SIZE > core.model.maxRows)) {
      write(core, given, placed);
      placed = [];
    }
  }
  if (placed.length > 0) write(core, given, placed);
}

/** A block, and its rows among those that were given. */
interface PlacedBlock {
  readonly block: number;
  readonly row: number;
  readonly count: number;
}

/** Rows that follow one another, no more than the model takes at a time. */
function writeWithKernels(
  { model, kvCache }: EngineCore,
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
  for (let layer = 0; layer < kvCache.layout.numLayers; layer++) {
    const [keys, values] = [parts.get(`key ${layer}`), parts.get(`value ${layer}`)];
    if (keys === undefined || values === undefined) throw new Error(`rows of layer ${layer} are missing`);
    model.writeKnownRows(kvCache.layout, layer, { keys, values }, slots);
  }
}

function writeBlockByBlock(
  { kernels, kvCache }: EngineCore,
  { numRows, tensors, rows }: GivenRows,
  placed: readonly PlacedBlock[],
): void {
  for (const { block, row, count } of placed) {
    let at = 0;
    for (const { layer, part, rowBytes } of tensors) {
      const from = at + row * rowBytes;
      const source = rows.subarray(from, from + count * rowBytes);
      writeKvRows(kernels, kvCache.layout, { block, layer, part, count }, source);
      at += numRows * rowBytes;
    }
  }
}
