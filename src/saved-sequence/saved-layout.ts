/**
 * Which tensors a saved sequence has: for each layer `layer.N.key` and `layer.N.value` (positions, heads, headDim), and
 * where the type of K and V has scales (int8), these, `layer.N.key_scale` and `layer.N.value_scale` (positions, heads). Heads are KV
 * heads. Scales come first, so that every tensor begins at a multiple of its element's size.
 *
 * The tensors of a layer with a window have the last positions only, what is kept of the sequence in the cache, from the
 * beginning of a block on; files of the first version have all positions of all layers.
 *
 * A block's rows, in memory and under its checksum, are those of all tensors that have it, one after the other, in the same
 * order.
 */
import type { NewTensor } from "../formats/safetensors-writer.js";
import { BLOCK_SIZE, firstKeptBlock, type KvLayout, type KvShape } from "../kernels/kv-layout.js";
import { kvParts, type RangeTensor, rowsInRange } from "../kernels/kv-rows.js";

/**
 * Most buffers that are kept for the next files: as many as restoring one works with, of which one is read, one checked and one
 * taken in.
 */
export const MOST_SPARE = 3;

/** One tensor of the file. */
export interface SavedTensor extends NewTensor, RangeTensor {}

/** The shape of K and V: what a `KvLayout` says but for its place in memory, and how far each layer sees. */
export type SavedKvShape = Pick<KvLayout, "dtype" | "numLayers" | "numKvHeads" | "headDim"> &
  Pick<KvShape, "windows">;

export class SavedLayout {
  /** In the order of the file. */
  readonly tensors: readonly SavedTensor[];
  readonly numPositions: number;

  /** @param keepsAll the tensors of layers with a window have all positions, too */
  constructor(kv: SavedKvShape, numPositions: number, keepsAll = false) {
    const layers = Array.from({ length: kv.numLayers }, (_, layer) => layer);
    const parts = kvParts(kv);
    this.tensors = layers
      .flatMap((layer) => parts.map((part) => ({ layer, ...part })))
      .sort((a, b) => b.elementBytes - a.elementBytes)
      .map(({ layer, part, savedAs, shape, bytes }) => {
        const firstBlock = keepsAll ? 0 : firstKeptBlock(kv.windows?.[layer] ?? null, numPositions);
        const positions = numPositions - firstBlock * BLOCK_SIZE;
        return {
          name: `layer.${layer}.${part}`,
          dtype: savedAs,
          shape: [positions, ...shape],
          bytes: positions * bytes,
          layer,
          part,
          rowBytes: bytes,
          firstBlock,
        };
      });
    this.numPositions = numPositions;
  }

  get numBlocks(): number {
    return Math.ceil(this.numPositions / BLOCK_SIZE);
  }

  /** Whether every layer has all positions. */
  get hasAll(): boolean {
    return this.tensors.every(({ firstBlock }) => firstBlock === 0);
  }

  /** Bytes of the rows of some blocks, all tensors. */
  bytesOf(firstBlock: number, numBlocks: number): number {
    const end = this.endOf(firstBlock + numBlocks);
    return this.tensors.reduce(
      (sum, tensor) => sum + tensor.rowBytes * rowsInRange(tensor, firstBlock, end),
      0,
    );
  }

  /** Where the rows of the first `numBlocks` blocks end. */
  endOf(numBlocks: number): number {
    return Math.min(this.numPositions, numBlocks * BLOCK_SIZE);
  }
}
