/**
 * Where a key or a value lies in the KV slab. This is the only place that knows.
 *
 *   slab   = block 0 | block 1 | …            a block is contiguous: it can be copied or saved in one piece
 *   block  = layer 0 | layer 1 | …
 *   layer  = head 0 | head 1 | …              KV heads
 *   head   = K (headDim, 16) | V (16, headDim)
 *
 * K is stored transposed, so that the 16 keys of a block lie side by side and one vector load serves four of them;
 * V is stored by position, so that one load serves four of its dimensions.
 */

/** Positions in a block. Part of the numerics: softmax sums run in 16 lanes, block by block (docs/numerics.md). */
export const BLOCK_SIZE = 16;

export interface KvLayout {
  /** Byte offset of the slab. */
  readonly offset: number;
  readonly numBlocks: number;
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Bytes of one head of one layer in one block: K and V. */
  readonly headBytes: number;
  readonly layerBytes: number;
  readonly blockBytes: number;
}

export interface KvShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

/** Bytes of one block, all layers, f32. */
export function kvBlockBytes(shape: KvShape): number {
  return shape.numLayers * shape.numKvHeads * 2 * BLOCK_SIZE * shape.headDim * 4;
}

export function kvLayout(shape: KvShape, offset: number, numBlocks: number): KvLayout {
  const headBytes = 2 * BLOCK_SIZE * shape.headDim * 4;
  const layerBytes = shape.numKvHeads * headBytes;
  return {
    offset,
    numBlocks,
    numLayers: shape.numLayers,
    numKvHeads: shape.numKvHeads,
    headDim: shape.headDim,
    headBytes,
    layerBytes,
    blockBytes: shape.numLayers * layerBytes,
  };
}

/** Byte offset of K (headDim, 16) of one head in one block; V (16, headDim) follows it. */
export function kvOffset(kv: KvLayout, block: number, layer: number, kvHead: number): number {
  return kv.offset + block * kv.blockBytes + layer * kv.layerBytes + kvHead * kv.headBytes;
}

/** Bytes from the start of a head's K to its V. */
export function valueOffset(kv: KvLayout): number {
  return 4 * BLOCK_SIZE * kv.headDim;
}
