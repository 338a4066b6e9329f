// The KV cache's writes, and causal attention over its blocks.
//
// A head's part of a block is K (headDim, 16), transposed, then V (16, headDim). For each query and head, on its own:
//   scores    s[p] = (Σ_d q[d] · K[p][d], d = 0, 1, 2 …) · scale
//   maximum   over p = 0 … position
//   weights   e[p] = exp(s[p] − maximum)
//   sum       in 16 lanes: lane j adds e[j], e[16 + j], e[32 + j] …; joined as described at `joinLanes`
//   output    (Σ_p e[p] · V[p], p = 0, 1, 2 …) / sum
// Lanes past the query's position are left out by selection. Nothing here depends on which other queries are
// computed, on how the rows were fed, or on where a block lies.

import { expF32x4 } from "./math";

/** Positions in a block. */
const BLOCK_SIZE: i32 = 16;
/** Bytes of one d of a transposed K. */
const KEY_ROW_BYTES: usize = 64;

/**
 * Writes rows of K and V into their slots. `layerBase` is the slab plus the layer's offset in a block; strides in
 * bytes; a slot is block id · 16 + position in the block.
 */
export function writeKv(
  layerBase: usize, blockBytes: usize, headBytes: usize, numKvHeads: i32, headDim: i32,
  k: usize, kStride: usize, v: usize, vStride: usize, slots: usize, rows: i32,
): void {
  const valueOffset = <usize>headDim * KEY_ROW_BYTES;
  for (let t = 0; t < rows; t++) {
    const slot = load<i32>(slots + (<usize>t << 2));
    const inBlock = <usize>(slot & (BLOCK_SIZE - 1));
    let head = layerBase + <usize>(slot / BLOCK_SIZE) * blockBytes;
    let kp = k + <usize>t * kStride, vp = v + <usize>t * vStride;
    for (let h = 0; h < numKvHeads; h++) {
      let key = head + (inBlock << 2);
      const end = kp + (<usize>headDim << 2);
      while (kp < end) {
        f32.store(key, f32.load(kp));
        key += KEY_ROW_BYTES;
        kp += 4;
      }
      memory.copy(head + valueOffset + ((inBlock * <usize>headDim) << 2), vp, <usize>headDim << 2);
      vp += <usize>headDim << 2;
      head += headBytes;
    }
  }
}

/** Which lanes of positions `first … first + 3` are at or before `position`. */
@inline
function lanesUpTo(first: i32, position: i32): v128 {
  return i32x4.le_s(i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3)), i32x4.splat(position));
}

/** Largest of four lanes; NaN if any is NaN. */
@inline
function maxOfLanes(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** ((0 + 4) + (8 + 12)) … lane by lane, then (0 + 1) + (2 + 3) of the four that remain. */
@inline
function joinLanes(a: v128, b: v128, c: v128, d: v128): f32 {
  const v = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}

/** Scores of one query against positions 0 … position, in `scores`; returns their maximum. */
function scoreKeys(q: usize, headDim: i32, headBase: usize, blockBytes: usize, blockTable: usize, position: i32, scale: f32, scores: usize): f32 {
  const qEnd = q + (<usize>headDim << 2);
  const scales = f32x4.splat(scale);
  let top = f32x4.splat(-Infinity);
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    const block = load<i32>(blockTable + (<usize>(first / BLOCK_SIZE) << 2));
    let key = headBase + <usize>block * blockBytes;
    let a = f32x4.splat(0), b = a, c = a, d = a;
    for (let qp = q; qp < qEnd; qp += 4) {
      const s = v128.load_splat<f32>(qp);
      a = f32x4.add(a, f32x4.mul(s, v128.load(key)));
      b = f32x4.add(b, f32x4.mul(s, v128.load(key, 16)));
      c = f32x4.add(c, f32x4.mul(s, v128.load(key, 32)));
      d = f32x4.add(d, f32x4.mul(s, v128.load(key, 48)));
      key += KEY_ROW_BYTES;
    }
    a = f32x4.mul(a, scales);
    b = f32x4.mul(b, scales);
    c = f32x4.mul(c, scales);
    d = f32x4.mul(d, scales);
    const at = scores + (<usize>first << 2);
    v128.store(at, a);
    v128.store(at, b, 16);
    v128.store(at, c, 32);
    v128.store(at, d, 48);
    if (first + BLOCK_SIZE - 1 <= position) {
      top = f32x4.max(top, f32x4.max(f32x4.max(a, b), f32x4.max(c, d)));
    } else {
      top = v128.bitselect(f32x4.max(top, a), top, lanesUpTo(first, position));
      top = v128.bitselect(f32x4.max(top, b), top, lanesUpTo(first + 4, position));
      top = v128.bitselect(f32x4.max(top, c), top, lanesUpTo(first + 8, position));
      top = v128.bitselect(f32x4.max(top, d), top, lanesUpTo(first + 12, position));
    }
  }
  return maxOfLanes(top);
}

/** Turns scores into exp(score − top), in place; returns the sum over positions 0 … position. */
function weighScores(scores: usize, position: i32, top: f32): f32 {
  const tops = f32x4.splat(top);
  let a = f32x4.splat(0), b = a, c = a, d = a;
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    const at = scores + (<usize>first << 2);
    const ea = expF32x4(f32x4.sub(v128.load(at), tops));
    v128.store(at, ea);
    const eb = expF32x4(f32x4.sub(v128.load(at, 16), tops));
    v128.store(at, eb, 16);
    const ec = expF32x4(f32x4.sub(v128.load(at, 32), tops));
    v128.store(at, ec, 32);
    const ed = expF32x4(f32x4.sub(v128.load(at, 48), tops));
    v128.store(at, ed, 48);
    if (first + BLOCK_SIZE - 1 <= position) {
      a = f32x4.add(a, ea);
      b = f32x4.add(b, eb);
      c = f32x4.add(c, ec);
      d = f32x4.add(d, ed);
    } else {
      a = v128.bitselect(f32x4.add(a, ea), a, lanesUpTo(first, position));
      b = v128.bitselect(f32x4.add(b, eb), b, lanesUpTo(first + 4, position));
      c = v128.bitselect(f32x4.add(c, ec), c, lanesUpTo(first + 8, position));
      d = v128.bitselect(f32x4.add(d, ed), d, lanesUpTo(first + 12, position));
    }
  }
  return joinLanes(a, b, c, d);
}

/** Output dimensions dim … dim + 31 of one head: eight running sums. */
function sumValues32(weights: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32, out: usize): void {
  let a = f32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    const block = load<i32>(blockTable + (<usize>(first / BLOCK_SIZE) << 2));
    let v = value + <usize>block * blockBytes;
    let w = weights + (<usize>first << 2);
    const end = w + (<usize>min(BLOCK_SIZE, position + 1 - first) << 2);
    while (w < end) {
      const s = v128.load_splat<f32>(w);
      a = f32x4.add(a, f32x4.mul(s, v128.load(v)));
      b = f32x4.add(b, f32x4.mul(s, v128.load(v, 16)));
      c = f32x4.add(c, f32x4.mul(s, v128.load(v, 32)));
      d = f32x4.add(d, f32x4.mul(s, v128.load(v, 48)));
      e = f32x4.add(e, f32x4.mul(s, v128.load(v, 64)));
      f = f32x4.add(f, f32x4.mul(s, v128.load(v, 80)));
      g = f32x4.add(g, f32x4.mul(s, v128.load(v, 96)));
      h = f32x4.add(h, f32x4.mul(s, v128.load(v, 112)));
      w += 4;
      v += rowBytes;
    }
  }
  const totals = f32x4.splat(total);
  v128.store(out, f32x4.div(a, totals));
  v128.store(out, f32x4.div(b, totals), 16);
  v128.store(out, f32x4.div(c, totals), 32);
  v128.store(out, f32x4.div(d, totals), 48);
  v128.store(out, f32x4.div(e, totals), 64);
  v128.store(out, f32x4.div(f, totals), 80);
  v128.store(out, f32x4.div(g, totals), 96);
  v128.store(out, f32x4.div(h, totals), 112);
}

/** Output dimensions dim … dim + 3. */
function sumValues4(weights: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32, out: usize): void {
  let a = f32x4.splat(0);
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    const block = load<i32>(blockTable + (<usize>(first / BLOCK_SIZE) << 2));
    let v = value + <usize>block * blockBytes;
    let w = weights + (<usize>first << 2);
    const end = w + (<usize>min(BLOCK_SIZE, position + 1 - first) << 2);
    while (w < end) {
      a = f32x4.add(a, f32x4.mul(v128.load_splat<f32>(w), v128.load(v)));
      w += 4;
      v += rowBytes;
    }
  }
  v128.store(out, f32x4.div(a, f32x4.splat(total)));
}

/** One output dimension, for head sizes that are no multiple of four. */
function sumValues1(weights: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32, out: usize): void {
  let a: f32 = 0;
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    const block = load<i32>(blockTable + (<usize>(first / BLOCK_SIZE) << 2));
    let v = value + <usize>block * blockBytes;
    let w = weights + (<usize>first << 2);
    const end = w + (<usize>min(BLOCK_SIZE, position + 1 - first) << 2);
    while (w < end) {
      a += f32.load(w) * f32.load(v);
      w += 4;
      v += rowBytes;
    }
  }
  f32.store(out, a / total);
}

/**
 * Attention of `rows` queries of one sequence, heads `headFrom … headTo − 1`: disjoint ranges may run at the same
 * time, each with scores of its own. `layerBase` is the slab plus the layer's offset in a block; strides in bytes.
 */
export function attention(
  out: usize, outStride: usize, q: usize, qStride: usize, rows: i32, numHeads: i32, numKvHeads: i32, headDim: i32,
  layerBase: usize, blockBytes: usize, headBytes: usize, blockTable: usize, positions: usize, scale: f32,
  scores: usize, headFrom: i32, headTo: i32,
): void {
  const queriesPerKv = numHeads / numKvHeads;
  const rowBytes = <usize>headDim << 2;
  const valueOffset = <usize>headDim * KEY_ROW_BYTES;
  for (let h = headFrom; h < headTo; h++) {
    const keys = layerBase + <usize>(h / queriesPerKv) * headBytes;
    const values = keys + valueOffset;
    for (let t = 0; t < rows; t++) {
      const position = load<i32>(positions + (<usize>t << 2));
      const qh = q + <usize>t * qStride + <usize>h * rowBytes;
      const yh = out + <usize>t * outStride + <usize>h * rowBytes;
      const top = scoreKeys(qh, headDim, keys, blockBytes, blockTable, position, scale, scores);
      const total = weighScores(scores, position, top);
      let dim = 0;
      for (; dim + 32 <= headDim; dim += 32) {
        const at = <usize>dim << 2;
        sumValues32(scores, values + at, rowBytes, blockBytes, blockTable, position, total, yh + at);
      }
      for (; dim + 4 <= headDim; dim += 4) {
        const at = <usize>dim << 2;
        sumValues4(scores, values + at, rowBytes, blockBytes, blockTable, position, total, yh + at);
      }
      for (; dim < headDim; dim++) {
        const at = <usize>dim << 2;
        sumValues1(scores, values + at, rowBytes, blockBytes, blockTable, position, total, yh + at);
      }
    }
  }
}
