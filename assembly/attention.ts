// The KV cache's writes, and causal attention over its blocks.
//
// A head's part of a block is K (headDim, 16), transposed, then V (16, headDim). For each query and head, on its own:
//   scores    s[p] = (Σ_d q[d] · K[p][d], d = 0, 1, 2 …) · scale
//   maximum   over p = 0 … position
//   weights   e[p] = exp(s[p] − maximum)
//   sum       in 16 lanes: lane j adds e[j], e[16 + j], e[32 + j] …; joined as described at `joinLanes`
//   output    (Σ_p e[p] · V[p], p = 0, 1, 2 …) / sum
// Lanes past the query's position are left out by selection. Nothing here depends on which other queries are
// computed, on how the rows were fed, or on where a block lies: four queries that go through a block together share its
// loads and nothing else.

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

/** Queries that share the loads of each block. */
const QUERIES: i32 = 4;

/** Which lanes of positions `first … first + 3` are at or before `position`. */
@inline
function lanesUpTo(first: i32, position: i32): v128 {
  return i32x4.le_s(i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3)), i32x4.splat(position));
}

/** Address of a block's part that lies at `base` in block 0. */
@inline
function inBlockOf(position: i32, base: usize, blockBytes: usize, blockTable: usize): usize {
  return base + <usize>load<i32>(blockTable + (<usize>(position / BLOCK_SIZE) << 2)) * blockBytes;
}

/** Scaled scores of one query against the keys of every block up to `position`'s. */
function scoreKeys(q: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, position: i32, scale: f32, scores: usize): void {
  const qEnd = q + (<usize>headDim << 2);
  const scales = f32x4.splat(scale);
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    let key = inBlockOf(first, keys, blockBytes, blockTable);
    let a = f32x4.splat(0), b = a, c = a, d = a;
    for (let qp = q; qp < qEnd; qp += 4) {
      const s = v128.load_splat<f32>(qp);
      a = f32x4.add(a, f32x4.mul(s, v128.load(key)));
      b = f32x4.add(b, f32x4.mul(s, v128.load(key, 16)));
      c = f32x4.add(c, f32x4.mul(s, v128.load(key, 32)));
      d = f32x4.add(d, f32x4.mul(s, v128.load(key, 48)));
      key += KEY_ROW_BYTES;
    }
    const at = scores + (<usize>first << 2);
    v128.store(at, f32x4.mul(a, scales));
    v128.store(at, f32x4.mul(b, scales), 16);
    v128.store(at, f32x4.mul(c, scales), 32);
    v128.store(at, f32x4.mul(d, scales), 48);
  }
}

/** The same for four queries, their scores `scoreStride` bytes apart. */
function scoreKeysOf4(q: usize, qStride: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, position: i32, scale: f32, scores: usize, scoreStride: usize): void {
  const scales = f32x4.splat(scale);
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    const block = inBlockOf(first, keys, blockBytes, blockTable);
    // Eight keys at a time: with all sixteen the running sums would not fit into the registers.
    for (let half: usize = 0; half < KEY_ROW_BYTES; half += 32) {
      let key = block + half;
      const end = key + <usize>headDim * KEY_ROW_BYTES;
      let qa = q, qb = q + qStride, qc = qb + qStride, qd = qc + qStride;
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
      while (key < end) {
        const k0 = v128.load(key), k1 = v128.load(key, 16);
        let s = v128.load_splat<f32>(qa);
        a0 = f32x4.add(a0, f32x4.mul(s, k0));
        a1 = f32x4.add(a1, f32x4.mul(s, k1));
        s = v128.load_splat<f32>(qb);
        b0 = f32x4.add(b0, f32x4.mul(s, k0));
        b1 = f32x4.add(b1, f32x4.mul(s, k1));
        s = v128.load_splat<f32>(qc);
        c0 = f32x4.add(c0, f32x4.mul(s, k0));
        c1 = f32x4.add(c1, f32x4.mul(s, k1));
        s = v128.load_splat<f32>(qd);
        d0 = f32x4.add(d0, f32x4.mul(s, k0));
        d1 = f32x4.add(d1, f32x4.mul(s, k1));
        key += KEY_ROW_BYTES;
        qa += 4;
        qb += 4;
        qc += 4;
        qd += 4;
      }
      let at = scores + (<usize>first << 2) + half;
      v128.store(at, f32x4.mul(a0, scales));
      v128.store(at, f32x4.mul(a1, scales), 16);
      at += scoreStride;
      v128.store(at, f32x4.mul(b0, scales));
      v128.store(at, f32x4.mul(b1, scales), 16);
      at += scoreStride;
      v128.store(at, f32x4.mul(c0, scales));
      v128.store(at, f32x4.mul(c1, scales), 16);
      at += scoreStride;
      v128.store(at, f32x4.mul(d0, scales));
      v128.store(at, f32x4.mul(d1, scales), 16);
    }
  }
}

/** The largest score up to `position`; NaN if any is NaN. */
function maxScore(scores: usize, position: i32): f32 {
  let top = f32x4.splat(-Infinity);
  let first = 0;
  for (; first + 3 <= position; first += 4) top = f32x4.max(top, v128.load(scores + (<usize>first << 2)));
  const last = f32x4.max(top, v128.load(scores + (<usize>first << 2)));
  top = v128.bitselect(last, top, lanesUpTo(first, position));
  return max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
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

/** Turns scores into exp(score − maximum), in place; returns their sum over positions 0 … position. */
function weighScores(scores: usize, position: i32): f32 {
  const tops = f32x4.splat(maxScore(scores, position));
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
    let v = inBlockOf(first, value, blockBytes, blockTable);
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
    let v = inBlockOf(first, value, blockBytes, blockTable);
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
    let v = inBlockOf(first, value, blockBytes, blockTable);
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

/** Eight output dimensions of four queries at positions up to `position`, the least of theirs: sums, not yet divided. */
function sumValues8Of4(weights: usize, weightStride: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, out: usize, outStride: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    let v = inBlockOf(first, value, blockBytes, blockTable);
    let wa = weights + (<usize>first << 2);
    let wb = wa + weightStride, wc = wb + weightStride, wd = wc + weightStride;
    const end = wa + (<usize>min(BLOCK_SIZE, position + 1 - first) << 2);
    while (wa < end) {
      const v0 = v128.load(v), v1 = v128.load(v, 16);
      let s = v128.load_splat<f32>(wa);
      a0 = f32x4.add(a0, f32x4.mul(s, v0));
      a1 = f32x4.add(a1, f32x4.mul(s, v1));
      s = v128.load_splat<f32>(wb);
      b0 = f32x4.add(b0, f32x4.mul(s, v0));
      b1 = f32x4.add(b1, f32x4.mul(s, v1));
      s = v128.load_splat<f32>(wc);
      c0 = f32x4.add(c0, f32x4.mul(s, v0));
      c1 = f32x4.add(c1, f32x4.mul(s, v1));
      s = v128.load_splat<f32>(wd);
      d0 = f32x4.add(d0, f32x4.mul(s, v0));
      d1 = f32x4.add(d1, f32x4.mul(s, v1));
      wa += 4;
      wb += 4;
      wc += 4;
      wd += 4;
      v += rowBytes;
    }
  }
  let y = out;
  v128.store(y, a0);
  v128.store(y, a1, 16);
  y += outStride;
  v128.store(y, b0);
  v128.store(y, b1, 16);
  y += outStride;
  v128.store(y, c0);
  v128.store(y, c1, 16);
  y += outStride;
  v128.store(y, d0);
  v128.store(y, d1, 16);
}

/** Goes on with sums of eight dimensions for positions from … position, and divides. */
function finishValues8(weights: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, from: i32, position: i32, total: f32, out: usize): void {
  let a0 = v128.load(out), a1 = v128.load(out, 16);
  for (let p = from; p <= position; p++) {
    const v = inBlockOf(p, value, blockBytes, blockTable) + <usize>(p % BLOCK_SIZE) * rowBytes;
    const s = v128.load_splat<f32>(weights + (<usize>p << 2));
    a0 = f32x4.add(a0, f32x4.mul(s, v128.load(v)));
    a1 = f32x4.add(a1, f32x4.mul(s, v128.load(v, 16)));
  }
  const totals = f32x4.splat(total);
  v128.store(out, f32x4.div(a0, totals));
  v128.store(out, f32x4.div(a1, totals), 16);
}

/** The last output dimensions of a head, from `dim` on, in whole vectors and then one by one. */
function sumLastValues(weights: usize, values: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32, out: usize, dim: i32, headDim: i32): void {
  let d = dim;
  for (; d + 4 <= headDim; d += 4) {
    const at = <usize>d << 2;
    sumValues4(weights, values + at, rowBytes, blockBytes, blockTable, position, total, out + at);
  }
  for (; d < headDim; d++) {
    const at = <usize>d << 2;
    sumValues1(weights, values + at, rowBytes, blockBytes, blockTable, position, total, out + at);
  }
}

/** Tiles of up to four queries that `rows` rows of `numHeads` heads make: the pieces of work that may run at once. */
export function attentionTiles(rows: i32, numHeads: i32): i32 {
  return numHeads * ((rows + QUERIES - 1) / QUERIES);
}

/**
 * Attention of `rows` queries of one sequence at ascending positions, for tiles `tileFrom … tileTo − 1` only: disjoint
 * ranges may run at the same time, each with a scratch of its own, four rows of scores `scoreStride` bytes apart.
 * `layerBase` is the slab plus the layer's offset in a block; strides in bytes.
 */
export function attention(
  out: usize, outStride: usize, q: usize, qStride: usize, rows: i32, numHeads: i32, numKvHeads: i32, headDim: i32,
  layerBase: usize, blockBytes: usize, headBytes: usize, blockTable: usize, positions: usize, scale: f32,
  scores: usize, scoreStride: usize, tileFrom: i32, tileTo: i32,
): void {
  const queriesPerKv = numHeads / numKvHeads;
  const rowBytes = <usize>headDim << 2;
  const tilesPerHead = (rows + QUERIES - 1) / QUERIES;
  for (let tile = tileFrom; tile < tileTo; tile++) {
    const h = tile / tilesPerHead;
    const first = (tile % tilesPerHead) * QUERIES;
    const keys = layerBase + <usize>(h / queriesPerKv) * headBytes;
    const values = keys + <usize>headDim * KEY_ROW_BYTES;
    const at = positions + (<usize>first << 2);
    const qh = q + <usize>first * qStride + <usize>h * rowBytes;
    const yh = out + <usize>first * outStride + <usize>h * rowBytes;
    if (first + QUERIES <= rows) {
      attendWith4(yh, outStride, qh, qStride, headDim, keys, values, blockBytes, blockTable, at, scale, scores, scoreStride);
    } else {
      for (let t = 0; t < rows - first; t++) {
        const y = yh + <usize>t * outStride;
        attendWith1(y, qh + <usize>t * qStride, headDim, keys, values, blockBytes, blockTable, load<i32>(at + (<usize>t << 2)), scale, scores);
      }
    }
  }
}

function attendWith1(out: usize, q: usize, headDim: i32, keys: usize, values: usize, blockBytes: usize, blockTable: usize, position: i32, scale: f32, scores: usize): void {
  const rowBytes = <usize>headDim << 2;
  scoreKeys(q, headDim, keys, blockBytes, blockTable, position, scale, scores);
  const total = weighScores(scores, position);
  let dim = 0;
  for (; dim + 32 <= headDim; dim += 32) {
    const at = <usize>dim << 2;
    sumValues32(scores, values + at, rowBytes, blockBytes, blockTable, position, total, out + at);
  }
  sumLastValues(scores, values, rowBytes, blockBytes, blockTable, position, total, out, dim, headDim);
}

function attendWith4(out: usize, outStride: usize, q: usize, qStride: usize, headDim: i32, keys: usize, values: usize, blockBytes: usize, blockTable: usize, positions: usize, scale: f32, scores: usize, scoreStride: usize): void {
  const rowBytes = <usize>headDim << 2;
  // Positions ascend: what the first query reaches, all four reach.
  const least = load<i32>(positions), greatest = load<i32>(positions, 12);
  scoreKeysOf4(q, qStride, headDim, keys, blockBytes, blockTable, greatest, scale, scores, scoreStride);
  const totalA = weighScores(scores, least);
  const totalB = weighScores(scores + scoreStride, load<i32>(positions, 4));
  const totalC = weighScores(scores + 2 * scoreStride, load<i32>(positions, 8));
  const totalD = weighScores(scores + 3 * scoreStride, greatest);
  let dim = 0;
  for (; dim + 8 <= headDim; dim += 8) {
    const at = <usize>dim << 2;
    const v = values + at;
    let y = out + at, w = scores;
    sumValues8Of4(w, scoreStride, v, rowBytes, blockBytes, blockTable, least, y, outStride);
    finishValues8(w, v, rowBytes, blockBytes, blockTable, least + 1, least, totalA, y);
    y += outStride;
    w += scoreStride;
    finishValues8(w, v, rowBytes, blockBytes, blockTable, least + 1, load<i32>(positions, 4), totalB, y);
    y += outStride;
    w += scoreStride;
    finishValues8(w, v, rowBytes, blockBytes, blockTable, least + 1, load<i32>(positions, 8), totalC, y);
    y += outStride;
    w += scoreStride;
    finishValues8(w, v, rowBytes, blockBytes, blockTable, least + 1, greatest, totalD, y);
  }
  if (dim < headDim) {
    sumLastValues(scores, values, rowBytes, blockBytes, blockTable, least, totalA, out, dim, headDim);
    sumLastValues(scores + scoreStride, values, rowBytes, blockBytes, blockTable, load<i32>(positions, 4), totalB, out + outStride, dim, headDim);
    sumLastValues(scores + 2 * scoreStride, values, rowBytes, blockBytes, blockTable, load<i32>(positions, 8), totalC, out + 2 * outStride, dim, headDim);
    sumLastValues(scores + 3 * scoreStride, values, rowBytes, blockBytes, blockTable, greatest, totalD, out + 3 * outStride, dim, headDim);
  }
}
