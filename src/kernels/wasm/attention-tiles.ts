/**
 * How attention is cut for threads. A tile is queries that share each load of K and V: of one KV head and one sequence, those of
 * a position's heads side by side, then those of the next positions.
 */
import type { AttentionCall } from "../kernels.js";
import { BLOCK_SIZE } from "../kv-layout.js";
import { QUERIES_PER_TILE } from "./operations.js";

export interface AttentionTiles {
  /** Tiles of one KV head. */
  readonly numTiles: number;
  /** Queries of a tile; the last one of a sequence may have fewer. */
  readonly tileSize: number;
  /** Multiply-adds of one dimension of a head, about. */
  readonly work: number;
}

/**
 * As many queries a tile as there may be, unless threads would then have nothing to do.
 * @param words all of the kernels' memory
 * @param enough so many tiles that threads can share them well, whatever their size
 */
export function attentionTiles(
  { sequences, positions, window, numHeads, kv }: AttentionCall,
  words: Int32Array,
  threads: number,
  enough: number,
): AttentionTiles {
  const group = numHeads / kv.numKvHeads;
  const [begin, end] = [sequences.offset / 4, sequences.offset / 4 + sequences.length];
  const tilesOf = (size: number): number => {
    let tiles = 0;
    for (let s = begin; s < end; s += 2) tiles += Math.ceil((words[s] * group) / size);
    return tiles;
  };
  let work = 0;
  let mostRows = 0;
  let row = positions.offset / 4;
  for (let s = begin; s < end; s += 2) {
    const rows = words[s];
    mostRows = Math.max(mostRows, rows);
    row += rows;
    // As if every query went as far as the end of its sequence's last block.
    const keys = (Math.floor(words[row - 1] / BLOCK_SIZE) + 1) * BLOCK_SIZE;
    work += 2 * rows * Math.min(keys, window ?? keys);
  }
  let tileSize = Math.min(QUERIES_PER_TILE, Math.max(1, mostRows * group));
  if (tilesOf(tileSize) * kv.numKvHeads < enough) {
    const time = (size: number) => Math.ceil((tilesOf(size) * kv.numKvHeads) / threads) * tileTime(size);
    for (let size = tileSize - 1; size > 0; size--) if (time(size) < time(tileSize)) tileSize = size;
  }
  return { numTiles: tilesOf(tileSize), tileSize, work };
}

/**
 * What a tile takes, in times of one query: each further one adds this much. Measured at 500 positions for all types of K and V,
 * with and without fused vectors: 0.13 to 0.27 where K and V come from memory, 0.39 to 0.52 where they are near.
 */
function tileTime(queries: number): number {
  return 1 + 0.35 * (queries - 1);
}
