/**
 * Where a key or a value lies in the KV slab. This is the only place that knows.
 *
 *   slab   = block 0 | block 1 | …            a block is contiguous: it can be copied or saved in one piece
 *   block  = layer 0 | layer 1 | …
 *   layer  = head 0 | head 1 | …              KV heads
 *   head   = K (headDim, 16) | V (16, headDim)
 *   head   = K (headDim, 16) | V (16, headDim) | 16 key scales | 16 value scales  of a type with scales, which are f32
 *
 * K is stored transposed, so that the 16 keys of a block lie side by side and one vector load serves four of them;
 * V is stored by position, so that one load serves four of its dimensions.
 */
import { KV_TYPES, type KvDtype } from "./kv-types.js";

/** Positions in a block. Part of the numerics: softmax sums run in 16 lanes, block by block (docs/numerics.md). */
export const BLOCK_SIZE = 16;

export interface KvLayout {
  readonly dtype: KvDtype;
  /** Byte offset of the slab. */
  readonly offset: number;
  readonly numBlocks: number;
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Bytes of one head of one layer in one block: K, V and scales. */
  readonly headBytes: number;
  readonly layerBytes: number;
  readonly blockBytes: number;
}

export interface KvShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

/** Bytes of one block, all layers. */
export function kvBlockBytes(shape: KvShape, dtype: KvDtype): number {
  return shape.numLayers * shape.numKvHeads * headBytes(shape.headDim, dtype);
}

export function kvLayout(shape: KvShape, dtype: KvDtype, offset: number, numBlocks: number): KvLayout {
  const { numLayers, numKvHeads, headDim } = shape;
  const bytes = headBytes(headDim, dtype);
  const layerBytes = numKvHeads * bytes;
  return {
    dtype,
    offset,
    numBlocks,
    numLayers,
    numKvHeads,
    headDim,
    headBytes: bytes,
    layerBytes,
    blockBytes: numLayers * layerBytes,
  };
}

/**
 * Where the row of a position lies, counted in rows over all blocks: block id · 16 + position mod 16.
 * @param blockIds the sequence's blocks; row p is in block ⌊p / 16⌋
 */
export function slotOf(blockIds: readonly number[], position: number): number {
  return blockIds[Math.floor(position / BLOCK_SIZE)] * BLOCK_SIZE + (position % BLOCK_SIZE);
}

/** Byte offset of K (headDim, 16) of one head in one block; V (16, headDim) follows it. */
export function kvOffset(kv: KvLayout, block: number, layer: number, kvHead: number): number {
  return kv.offset + block * kv.blockBytes + layer * kv.layerBytes + kvHead * kv.headBytes;
}

/** Bytes from the start of a head's K to its V. */
export function valueOffset(kv: KvLayout): number {
  return KV_TYPES[kv.dtype].elementBytes * BLOCK_SIZE * kv.headDim;
}

/** Bytes from the start of a head's K to the scales of its keys; those of its values follow. Only of a type with scales. */
export function scaleOffset(kv: KvLayout): number {
  return 2 * valueOffset(kv);
}

function headBytes(headDim: number, dtype: KvDtype): number {
  const { elementBytes, scaled } = KV_TYPES[dtype];
  return 2 * BLOCK_SIZE * (headDim * elementBytes + (scaled ? 4 : 0));
}
