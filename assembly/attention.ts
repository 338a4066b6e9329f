// Causal attention over the KV cache's blocks (kv-blocks.ts). For each query and head, on its own, over the positions that
// it sees, from first = max(0, position + 1 − window) to its own:
//   scores    s[p] = (Σ_d q[d] · K[p][d], d = 0, 1, 2 …) · scale        int8: the sum first times its key's scale
//             and where there is a cap: cap · tanh(s[p] / cap)
//   maximum   over p = first … position
//   weights   e[p] = exp(s[p] − maximum)
//   sum       in 16 lanes: lane p mod 16 adds e[p], p = first, first + 1 …; joined as described at `joinLanes`
//   output    (Σ_p e[p] · V[p], p = first, first + 1 …) / sum           int8: e[p] first times its value's scale
// Lanes of positions that the query does not see are left out by selection. Nothing here depends on which other queries are
// computed, on how the rows were fed, or on where a block lies: queries that go through a block together, of several rows
// and of the heads that share K and V, share its loads and nothing else.
//
// `T` is the type of K and V as stored: f32, u16 or i8 (kv-blocks.ts).

import { scoreKeys1, scoreKeys2, scoreKeys3, scoreKeys3Wide, scoreKeys4, scoreKeys4Wide } from "./attention-scores";
import { capScores, weighScores } from "./attention-softmax";
import {
  addValues, addValues16Of2, addValues16Of3, addValues16Of4, addValues8Of3, addValues8Of4, sumLastValues, sumSeenValues32, sumValues32,
} from "./attention-values";
import { fused } from "./choices";
import { QUERIES_PER_TILE } from "./generated/constants";
import { keyRowBytes, TOUCHED, VALUE_SCALES } from "./kv-blocks";

/** Where a sequence is described: its rows, and the address of its block table. */
const SEQUENCE_BYTES: usize = 8;

/** Tiles of up to `tileSize` queries that `rows` rows of one sequence make with the heads that share a KV head. */
@inline
function tilesOf(rows: i32, group: i32, tileSize: i32): i32 {
  return (rows * group + tileSize - 1) / tileSize;
}

/** The first position that a query sees. */
@inline
function firstKey(position: i32, window: i32): i32 {
  return max(0, position + 1 - window);
}

/** Address of query `index` of a sequence and a KV head, whose queries are counted row by row, and in a row head by head. */
@inline
function queryAt(base: usize, stride: usize, index: i32, group: i32, headBytes: usize): usize {
  return base + <usize>(index / group) * stride + <usize>(index % group) * headBytes;
}

/** Its position. */
@inline
function positionAt(positions: usize, index: i32, group: i32): i32 {
  return load<i32>(positions + (<usize>(index / group) << 2));
}

/**
 * Attention of the queries of some sequences, whose rows follow one another at ascending positions, in `group` heads for
 * each KV head. The work is `numTiles` tiles of up to `tileSize` queries of one sequence (at most QUERIES_PER_TILE), for each
 * KV head; those numbered `from … to − 1` are done here: disjoint ranges may run at the same time. Each thread has
 * QUERIES_PER_TILE rows of `allScores`. `layerBase` is the slab plus the layer's offset in a block; strides in bytes. A
 * `softcap` of 0 is none.
 */
export function attention<T>(
  out: usize, outStride: usize, q: usize, qStride: usize, layerBase: usize, blockBytes: usize, headBytes: usize,
  headDim: i32, group: i32, sequences: usize, numTiles: i32, tileSize: i32, positions: usize, window: i32, scale: f32,
  softcap: f32, allScores: usize, scoreStride: usize, from: i32, to: i32, thread: i32,
): void {
  const scores = allScores + <usize>(thread * QUERIES_PER_TILE) * scoreStride;
  const groupBytes = <usize>(group * headDim) << 2;
  const isFused = fused();
  // The first tile of a sequence and KV head brings its keys and values near.
  let ahead = true;
  let kvHead = from / numTiles, inHead = from % numTiles;
  // Counted from the sequence's first row on.
  let tile = inHead;
  let sequence = sequences, rowBefore = 0;
  for (let i = from; i < to; i++) {
    while (tile >= tilesOf(load<i32>(sequence), group, tileSize)) {
      tile -= tilesOf(load<i32>(sequence), group, tileSize);
      rowBefore += load<i32>(sequence);
      sequence += SEQUENCE_BYTES;
      ahead = true;
    }
    const index = tile * tileSize;
    attendTile<T>(
      min(tileSize, load<i32>(sequence) * group - index), index, group,
      out + <usize>rowBefore * outStride + <usize>kvHead * groupBytes, outStride,
      q + <usize>rowBefore * qStride + <usize>kvHead * groupBytes, qStride,
      headDim, layerBase + <usize>kvHead * headBytes, blockBytes, <usize>load<i32>(sequence, 4),
      positions + (<usize>rowBefore << 2), window, scale, softcap, scores, scoreStride, thread, isFused, ahead,
    );
    ahead = false;
    tile++;
    if (++inHead < numTiles) continue;
    kvHead++;
    inHead = 0;
    tile = 0;
    sequence = sequences;
    rowBefore = 0;
    ahead = true;
  }
}

/** `n` queries from number `index` on. */
function attendTile<T>(
  n: i32, index: i32, group: i32, out: usize, outStride: usize, q: usize, qStride: usize, headDim: i32, keys: usize,
  blockBytes: usize, blockTable: usize, positions: usize, window: i32, scale: f32, softcap: f32, scores: usize,
  scoreStride: usize, thread: i32, isFused: bool, ahead: bool,
): void {
  const least = positionAt(positions, index, group), greatest = positionAt(positions, index + n - 1, group);
  // Queries that see nothing in common have nothing to share.
  if (n > 1 && firstKey(greatest, window) <= least) {
    attendTogether<T>(
      n, index, group, out, outStride, q, qStride, headDim, keys, blockBytes, blockTable, positions, window, scale, softcap,
      scores, scoreStride, thread, isFused, ahead,
    );
    return;
  }
  const bytes = <usize>headDim << 2;
  for (let i = index; i < index + n; i++) {
    const position = positionAt(positions, i, group);
    attendAlone<T>(
      queryAt(out, outStride, i, group, bytes), queryAt(q, qStride, i, group, bytes), headDim, keys, blockBytes, blockTable,
      firstKey(position, window), position, scale, softcap, scores, thread, ahead,
    );
  }
}

/** Scores become what values are multiplied by; returns the sum of weights. */
@inline
function weigh<T>(
  scores: usize, softcap: f32, scales: usize, blockBytes: usize, blockTable: usize, first: i32, position: i32, thread: i32,
): f32 {
  if (softcap != 0) capScores(scores, first, position, softcap);
  return weighScores<T>(scores, scales, blockBytes, blockTable, first, position, thread);
}

function attendAlone<T>(
  out: usize, q: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, first: i32, position: i32, scale: f32,
  softcap: f32, scores: usize, thread: i32, ahead: bool,
): void {
  const rowBytes = <usize>headDim * sizeof<T>();
  const values = keys + <usize>headDim * keyRowBytes<T>();
  const scales = values + <usize>headDim * keyRowBytes<T>() + VALUE_SCALES;
  scoreKeys1<T>(scores, q, headDim, keys, blockBytes, blockTable, first, position, scale, ahead);
  const total = weigh<T>(scores, softcap, scales, blockBytes, blockTable, first, position, thread);
  let dim = 0;
  for (; dim + 32 <= headDim; dim += 32) {
    const v = values + <usize>dim * sizeof<T>(), y = out + (<usize>dim << 2);
    if (first == 0) sumValues32<T>(y, scores, v, rowBytes, blockBytes, blockTable, position, total);
    else sumSeenValues32<T>(y, scores, v, rowBytes, blockBytes, blockTable, first, position, total);
  }
  sumLastValues<T>(out, scores, values, headDim, dim, blockBytes, blockTable, first, position, total);
}

/** Two queries to four. Their positions ascend: what the first one reaches all reach, and what the last one sees first all see. */
function attendTogether<T>(
  n: i32, index: i32, group: i32, out: usize, outStride: usize, q: usize, qStride: usize, headDim: i32, keys: usize,
  blockBytes: usize, blockTable: usize, positions: usize, window: i32, scale: f32, softcap: f32, scores: usize,
  scoreStride: usize, thread: i32, isFused: bool, ahead: bool,
): void {
  const bytes = <usize>headDim << 2, rowBytes = <usize>headDim * sizeof<T>();
  const values = keys + <usize>headDim * keyRowBytes<T>();
  const scales = values + <usize>headDim * keyRowBytes<T>() + VALUE_SCALES;
  // Of the third and the fourth nothing is read where there are none.
  const ib = index + 1, ic = index + min(2, n - 1), id = index + n - 1;
  const pa = positionAt(positions, index, group), pb = positionAt(positions, ib, group);
  const pc = positionAt(positions, ic, group), pd = positionAt(positions, id, group);
  const fa = firstKey(pa, window), fb = firstKey(pb, window), fc = firstKey(pc, window), fd = firstKey(pd, window);

  const qa = queryAt(q, qStride, index, group, bytes), qb = queryAt(q, qStride, ib, group, bytes);
  const qc = queryAt(q, qStride, ic, group, bytes), qd = queryAt(q, qStride, id, group, bytes);
  if (isFused && n == 4) {
    scoreKeys4Wide<T>(scores, scoreStride, qa, qb, qc, qd, headDim, keys, blockBytes, blockTable, fa, pd, scale, ahead);
  } else if (isFused && n == 3) {
    scoreKeys3Wide<T>(scores, scoreStride, qa, qb, qc, headDim, keys, blockBytes, blockTable, fa, pd, scale, ahead);
  } else if (n == 4) {
    scoreKeys4<T>(scores, scoreStride, qa, qb, qc, qd, headDim, keys, blockBytes, blockTable, fa, pd, scale, ahead);
  } else if (n == 3) {
    scoreKeys3<T>(scores, scoreStride, qa, qb, qc, headDim, keys, blockBytes, blockTable, fa, pd, scale, ahead);
  } else {
    scoreKeys2<T>(scores, scoreStride, qa, qb, headDim, keys, blockBytes, blockTable, fa, pd, scale, ahead);
  }

  const wa = scores, wb = wa + scoreStride, wc = wb + scoreStride, wd = wc + scoreStride;
  const ta = weigh<T>(wa, softcap, scales, blockBytes, blockTable, fa, pa, thread);
  const tb = weigh<T>(wb, softcap, scales, blockBytes, blockTable, fb, pb, thread);
  const tc = n > 2 ? weigh<T>(wc, softcap, scales, blockBytes, blockTable, fc, pc, thread) : 0;
  const td = n > 3 ? weigh<T>(wd, softcap, scales, blockBytes, blockTable, fd, pd, thread) : 0;

  const ya = queryAt(out, outStride, index, group, bytes), yb = queryAt(out, outStride, ib, group, bytes);
  const yc = queryAt(out, outStride, ic, group, bytes), yd = queryAt(out, outStride, id, group, bytes);
  const tileDims = isFused || n == 2 ? 16 : 8, dims = headDim & -tileDims;
  beginValues<T>(ya, wa, values, dims, rowBytes, blockBytes, blockTable, fa, fd);
  beginValues<T>(yb, wb, values, dims, rowBytes, blockBytes, blockTable, fb, fd);
  if (n > 2) beginValues<T>(yc, wc, values, dims, rowBytes, blockBytes, blockTable, fc, fd);
  if (n > 3) beginValues<T>(yd, wd, values, dims, rowBytes, blockBytes, blockTable, fd, fd);
  // Some blocks at a time, whose values stay near while they are gone through some dimensions after others.
  for (let p = fd; p <= pa; p = (p | (TOUCHED - 1)) + 1) {
    const last = min(p | (TOUCHED - 1), pa);
    for (let dim = 0; dim < dims; dim += tileDims) {
      const v = values + <usize>dim * sizeof<T>(), at = <usize>dim << 2;
      if (isFused && n == 4) {
        addValues16Of4<T>(ya + at, yb + at, yc + at, yd + at, wa, scoreStride, v, rowBytes, blockBytes, blockTable, p, last);
      } else if (isFused && n == 3) {
        addValues16Of3<T>(ya + at, yb + at, yc + at, wa, scoreStride, v, rowBytes, blockBytes, blockTable, p, last);
      } else if (n == 4) {
        addValues8Of4<T>(ya + at, yb + at, yc + at, yd + at, wa, scoreStride, v, rowBytes, blockBytes, blockTable, p, last);
      } else if (n == 3) {
        addValues8Of3<T>(ya + at, yb + at, yc + at, wa, scoreStride, v, rowBytes, blockBytes, blockTable, p, last);
      } else {
        addValues16Of2<T>(ya + at, yb + at, wa, scoreStride, v, rowBytes, blockBytes, blockTable, p, last);
      }
    }
  }
  endValues<T>(ya, wa, values, headDim, dims, blockBytes, blockTable, fa, pa, pa, ta);
  endValues<T>(yb, wb, values, headDim, dims, blockBytes, blockTable, fb, pa, pb, tb);
  if (n > 2) endValues<T>(yc, wc, values, headDim, dims, blockBytes, blockTable, fc, pa, pc, tc);
  if (n > 3) endValues<T>(yd, wd, values, headDim, dims, blockBytes, blockTable, fd, pa, pd, td);
}

/** A query's sums of its first `dims` dimensions over what it sees before `common`, the first position that all see. */
function beginValues<T>(
  out: usize, weights: usize, values: usize, dims: i32, rowBytes: usize, blockBytes: usize, blockTable: usize, first: i32, common: i32,
): void {
  memory.fill(out, 0, <usize>dims << 2);
  addValues<T>(out, weights, values, dims, rowBytes, blockBytes, blockTable, first, common - 1);
}

/** And over what it sees behind `common`, the last position that all see; divided by its total. Then its other dimensions. */
function endValues<T>(
  out: usize, weights: usize, values: usize, headDim: i32, dims: i32, blockBytes: usize, blockTable: usize, first: i32,
  common: i32, position: i32, total: f32,
): void {
  const rowBytes = <usize>headDim * sizeof<T>();
  addValues<T>(out, weights, values, dims, rowBytes, blockBytes, blockTable, common + 1, position);
  const totals = f32x4.splat(total), end = out + (<usize>dims << 2);
  for (let y = out; y < end; y += 16) v128.store(y, f32x4.div(v128.load(y), totals));
  sumLastValues<T>(out, weights, values, headDim, dims, blockBytes, blockTable, first, position, total);
}
