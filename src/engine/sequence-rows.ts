/** Rows of K and V between the KV cache and messages, where they lie tensor after tensor. */
import type { Kernels } from "../kernels/kernels.js";
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import type { RangeTensor, RowRange } from "../kernels/kv-rows.js";
import { readKvRows, rowsInRange, writeKvRows } from "../kernels/kv-rows.js";
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
  const end = Math.min(table.length, (firstBlock + numBlocks) * BLOCK_SIZE);
  const size = tensors.reduce(
    (sum, tensor) => sum + rowsInRange(tensor, firstBlock, end) * tensor.rowBytes,
    0,
  );
  const rows = new Uint8Array(memory.byteLength >= size ? memory : new ArrayBuffer(size), 0, size);
  let at = 0;
  for (const { layer, part, rowBytes, firstBlock: first } of tensors) {
    const run = table.runs[kv.places[layer].group];
    for (let position = BLOCK_SIZE * Math.max(firstBlock, first); position < end; position += BLOCK_SIZE) {
      const count = Math.min(BLOCK_SIZE, end - position);
      const block = run.ids[position / BLOCK_SIZE - run.first];
      readKvRows(kernels, kv, { block, layer, part, count }, rows.subarray(at, at + count * rowBytes));
      at += count * rowBytes;
    }
  }
  return rows;
}

/** Rows of some blocks: of each tensor those that it has up to position `end`, of which those before `givenEnd` are meant. */
export interface GivenRows {
  readonly firstBlock: number;
  readonly end: number;
  readonly givenEnd: number;
  readonly tensors: RowRange["tensors"];
  readonly rows: Uint8Array;
}

/**
 * Copies rows into blocks of the cache.
 * @param placeOf the place of the sequence's block `index` of a group of layers; null where it has no room, or has rows
 *   already
 */
export function writeBlocks(
  space: RowSpace,
  given: GivenRows,
  placeOf: (group: number, index: number) => number | null,
): void {
  const { kv, model } = space;
  // The kernels are the fastest to write rows, but would quantise what is quantised already; and with a
  // small token budget there is no room for a block's rows to be handed to them.
  const fitsKernels = KV_TYPES[kv.dtype].keepsRows && model.maxRows >= BLOCK_SIZE;
  const write = fitsKernels ? writeWithKernels : writeBlockByBlock;
  for (const [group, { layers }] of kv.groups.entries()) {
    const tensors = tensorsOf(given, layers);
    const from = Math.max(given.firstBlock, ...tensors.map(({ firstBlock }) => firstBlock));
    let placed: PlacedBlock[] = [];
    const end = Math.ceil(given.givenEnd / BLOCK_SIZE);
    for (let index = from; index < end; index++) {
      const block = placeOf(group, index);
      const count = Math.min(BLOCK_SIZE, given.givenEnd - index * BLOCK_SIZE);
      if (block !== null) placed.push({ block, index, count });
      if (placed.length > 0 && (block === null || (placed.length + 1) * BLOCK_SIZE > model.maxRows)) {
        write(space, tensors, placed);
        placed = [];
      }
    }
    if (placed.length > 0) write(space, tensors, placed);
  }
}

/** A block, its number in the sequence, and how many rows it gets. */
interface PlacedBlock {
  readonly block: number;
  readonly index: number;
  readonly count: number;
}

/** A tensor's rows, from those of block `firstBlock` on. */
interface TensorRows extends RangeTensor {
  readonly rows: Uint8Array;
}

/** What is given of some layers. */
function tensorsOf({ firstBlock, end, tensors, rows }: GivenRows, layers: readonly number[]): TensorRows[] {
  let at = 0;
  return tensors.flatMap((tensor) => {
    const from = at;
    at += rowsInRange(tensor, firstBlock, end) * tensor.rowBytes;
    if (!layers.includes(tensor.layer)) return [];
    const first = Math.max(firstBlock, tensor.firstBlock);
    return [{ ...tensor, firstBlock: first, rows: rows.subarray(from, at) }];
  });
}

/** The rows of `count` positions from the beginning of block `index` on. */
function rowsFrom({ rows, rowBytes, firstBlock }: TensorRows, index: number, count: number): Uint8Array {
  const from = (index - firstBlock) * BLOCK_SIZE * rowBytes;
  return rows.subarray(from, from + count * rowBytes);
}

/** Blocks that follow one another, no more than the model takes at a time. */
function writeWithKernels(
  { model, kv }: RowSpace,
  tensors: readonly TensorRows[],
  placed: readonly PlacedBlock[],
): void {
  const slots = placed.flatMap(({ block, count }) =>
    Array.from({ length: count }, (_, i) => block * BLOCK_SIZE + i),
  );
  for (const keys of tensors) {
    if (keys.part !== "key") continue;
    const values = tensors.find(({ layer, part }) => layer === keys.layer && part === "value");
    if (values === undefined) throw new Error(`values of layer ${keys.layer} are missing`);
    const [{ index }] = placed;
    const of = (tensor: TensorRows) => rowsFrom(tensor, index, slots.length);
    model.writeKnownRows(kv, keys.layer, { keys: of(keys), values: of(values) }, slots);
  }
}

function writeBlockByBlock(
  { kernels, kv }: RowSpace,
  tensors: readonly TensorRows[],
  placed: readonly PlacedBlock[],
): void {
  for (const { block, index, count } of placed) {
    for (const tensor of tensors) {
      const { layer, part } = tensor;
      writeKvRows(kernels, kv, { block, layer, part, count }, rowsFrom(tensor, index, count));
    }
  }
}
