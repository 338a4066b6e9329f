/**
 * Which tensors a saved sequence has: for each layer `layer.N.key` and `layer.N.value` (positions, heads, headDim), and
 * where the type of K and V has scales (int8), these, `layer.N.key_scale` and `layer.N.value_scale` (positions, heads). Heads are KV
 * heads. Scales come first, so that every tensor begins at a multiple of its element's size.
 *
 * A block's rows, in memory and under its checksum, are those of all tensors, one after the other, in the same order.
 */
import type { NewTensor } from "../formats/safetensors-writer.js";
import { BLOCK_SIZE, type KvLayout } from "../kernels/kv-layout.js";
import { type KvPart, kvParts } from "../kernels/kv-rows.js";

/** One tensor of the file. */
export interface SavedTensor extends NewTensor {
  readonly layer: number;
  readonly part: KvPart;
  /** Bytes of one position. */
  readonly rowBytes: number;
}

/** The shape of K and V: what a `KvLayout` says but for its place in memory. */
export type SavedKvShape = Pick<KvLayout, "dtype" | "numLayers" | "numKvHeads" | "headDim">;

export class SavedLayout {
  /** In the order of the file. */
  readonly tensors: readonly SavedTensor[];
  /** Bytes of one position, all tensors. */
  readonly rowBytes: number;
  readonly numPositions: number;

  constructor(kv: SavedKvShape, numPositions: number) {
    const layers = Array.from({ length: kv.numLayers }, (_, layer) => layer);
    const parts = kvParts(kv);
    this.tensors = layers
      .flatMap((layer) => parts.map((part) => ({ layer, ...part })))
      .sort((a, b) => b.elementBytes - a.elementBytes)
      .map(({ layer, part, savedAs, shape, bytes }) => ({
        name: `layer.${layer}.${part}`,
        dtype: savedAs,
        shape: [numPositions, ...shape],
        bytes: numPositions * bytes,
        layer,
        part,
        rowBytes: bytes,
      }));
    this.rowBytes = this.tensors.reduce((sum, { rowBytes }) => sum + rowBytes, 0);
    this.numPositions = numPositions;
  }

  get numBlocks(): number {
    return Math.ceil(this.numPositions / BLOCK_SIZE);
  }

  /** Positions that a block holds: 16, or fewer in the last one. */
  rowsOf(block: number): number {
    return Math.min(BLOCK_SIZE, this.numPositions - block * BLOCK_SIZE);
  }
}
