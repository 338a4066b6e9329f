// Causal attention over the KV cache's blocks (kv-blocks.ts). For each query and head, on its own:
//   scores    s[p] = (Σ_d q[d] · K[p][d], d = 0, 1, 2 …) · scale        int8: the sum first times its key's scale
//   maximum   over p = 0 … position
//   weights   e[p] = exp(s[p] − maximum)
//   sum       in 16 lanes: lane j adds e[j], e[16 + j], e[32 + j] …; joined as described at `joinLanes`
//   output    (Σ_p e[p] · V[p], p = 0, 1, 2 …) / sum                     int8: e[p] first times its value's scale
// Lanes past the query's position are left out by selection. Nothing here depends on which other queries are
// computed, on how the rows were fed, or on where a block lies: four queries that go through a block together share its
// loads and nothing else.
//
// `T` is the type of K and V as stored: f32 or i8.

import { BLOCK_SIZE, QUERIES_PER_TILE } from "./generated/constants";
import { keyRowBytes, VALUE_SCALES } from "./kv-blocks";
import { expF32x4 } from "./math";

/** Four stored values as f32. */
@inline
function load4<T>(p: usize): v128 {
  if (isInteger<T>()) {
    return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(p))));
  }
  return v128.load(p);
}

@inline
function load1<T>(p: usize): f32 {
  return <f32>load<T>(p);
}

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

/** Positions whose blocks are touched at once. */
const TOUCHED: i32 = 128;

/**
 * Reads a byte of K and of V of one head in each block of positions from … to − 1: their pages are looked up side by side,
 * not one after the other when each is needed. Atomic, because the compiler leaves out other loads that nobody uses.
 */
function touchBlocks(keys: usize, valueOffset: usize, blockBytes: usize, blockTable: usize, from: i32, to: i32): void {
  for (let p = from; p < to; p += BLOCK_SIZE) {
    const key = inBlockOf(p, keys, blockBytes, blockTable);
    atomic.load<u8>(key);
    atomic.load<u8>(key + valueOffset);
  }
}

/** Scaled scores of one query against the keys of every block up to `position`'s. */
function scoreKeys<T>(q: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, position: i32, scale: f32, scores: usize): void {
  const qEnd = q + (<usize>headDim << 2);
  const scales = f32x4.splat(scale);
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    if (first % TOUCHED == 0) {
      touchBlocks(keys, <usize>headDim * keyRowBytes<T>(), blockBytes, blockTable, first, min(first + TOUCHED, position + 1));
    }
    let key = inBlockOf(first, keys, blockBytes, blockTable);
    let a = f32x4.splat(0), b = a, c = a, d = a;
    for (let qp = q; qp < qEnd; qp += 4) {
      const s = v128.load_splat<f32>(qp);
      a = f32x4.add(a, f32x4.mul(s, load4<T>(key)));
      b = f32x4.add(b, f32x4.mul(s, load4<T>(key + 4 * sizeof<T>())));
      c = f32x4.add(c, f32x4.mul(s, load4<T>(key + 8 * sizeof<T>())));
      d = f32x4.add(d, f32x4.mul(s, load4<T>(key + 12 * sizeof<T>())));
      key += keyRowBytes<T>();
    }
    if (isInteger<T>()) {
      // Behind K comes V, of the same size, and then the keys' scales.
      const keyScales = key + <usize>headDim * keyRowBytes<T>();
      a = f32x4.mul(a, v128.load(keyScales));
      b = f32x4.mul(b, v128.load(keyScales, 16));
      c = f32x4.mul(c, v128.load(keyScales, 32));
      d = f32x4.mul(d, v128.load(keyScales, 48));
    }
    const at = scores + (<usize>first << 2);
    v128.store(at, f32x4.mul(a, scales));
    v128.store(at, f32x4.mul(b, scales), 16);
    v128.store(at, f32x4.mul(c, scales), 32);
    v128.store(at, f32x4.mul(d, scales), 48);
  }
}

/** The same for four queries, their scores `scoreStride` bytes apart. */
function scoreKeysOf4<T>(q: usize, qStride: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, position: i32, scale: f32, scores: usize, scoreStride: usize): void {
  const scales = f32x4.splat(scale), scalesAt = <usize>headDim * 2 * keyRowBytes<T>();
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    if (first % TOUCHED == 0) {
      touchBlocks(keys, <usize>headDim * keyRowBytes<T>(), blockBytes, blockTable, first, min(first + TOUCHED, position + 1));
    }
    const block = inBlockOf(first, keys, blockBytes, blockTable);
    // Eight keys at a time: with all sixteen the running sums would not fit into the registers.
    for (let half: usize = 0; half < 2; half++) {
      let key = block + half * (keyRowBytes<T>() >> 1);
      const end = key + <usize>headDim * keyRowBytes<T>();
      let qa = q, qb = q + qStride, qc = qb + qStride, qd = qc + qStride;
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
      while (key < end) {
        const k0 = load4<T>(key), k1 = load4<T>(key + 4 * sizeof<T>());
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
        key += keyRowBytes<T>();
        qa += 4;
        qb += 4;
        qc += 4;
        qd += 4;
      }
      let at = scores + (<usize>first << 2) + (half << 5);
      if (isInteger<T>()) {
        const keyScales = block + scalesAt + (half << 5);
        const s0 = v128.load(keyScales), s1 = v128.load(keyScales, 16);
        a0 = f32x4.mul(a0, s0);
        a1 = f32x4.mul(a1, s1);
        b0 = f32x4.mul(b0, s0);
        b1 = f32x4.mul(b1, s1);
        c0 = f32x4.mul(c0, s0);
        c1 = f32x4.mul(c1, s1);
        d0 = f32x4.mul(d0, s0);
        d1 = f32x4.mul(d1, s1);
      }
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
function sumValues32<T>(weights: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32, out: usize): void {
  let a = f32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    let v = inBlockOf(first, value, blockBytes, blockTable);
    let w = weights + (<usize>first << 2);
    const end = w + (<usize>min(BLOCK_SIZE, position + 1 - first) << 2);
    while (w < end) {
      const s = v128.load_splat<f32>(w);
      a = f32x4.add(a, f32x4.mul(s, load4<T>(v)));
      b = f32x4.add(b, f32x4.mul(s, load4<T>(v + 4 * sizeof<T>())));
      c = f32x4.add(c, f32x4.mul(s, load4<T>(v + 8 * sizeof<T>())));
      d = f32x4.add(d, f32x4.mul(s, load4<T>(v + 12 * sizeof<T>())));
      e = f32x4.add(e, f32x4.mul(s, load4<T>(v + 16 * sizeof<T>())));
      f = f32x4.add(f, f32x4.mul(s, load4<T>(v + 20 * sizeof<T>())));
      g = f32x4.add(g, f32x4.mul(s, load4<T>(v + 24 * sizeof<T>())));
      h = f32x4.add(h, f32x4.mul(s, load4<T>(v + 28 * sizeof<T>())));
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
function sumValues4<T>(weights: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32, out: usize): void {
  let a = f32x4.splat(0);
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    let v = inBlockOf(first, value, blockBytes, blockTable);
    let w = weights + (<usize>first << 2);
    const end = w + (<usize>min(BLOCK_SIZE, position + 1 - first) << 2);
    while (w < end) {
      a = f32x4.add(a, f32x4.mul(v128.load_splat<f32>(w), load4<T>(v)));
      w += 4;
      v += rowBytes;
    }
  }
  v128.store(out, f32x4.div(a, f32x4.splat(total)));
}

/** One output dimension, for head sizes that are no multiple of four. */
function sumValues1<T>(weights: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32, out: usize): void {
  let a: f32 = 0;
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    let v = inBlockOf(first, value, blockBytes, blockTable);
    let w = weights + (<usize>first << 2);
    const end = w + (<usize>min(BLOCK_SIZE, position + 1 - first) << 2);
    while (w < end) {
      a += f32.load(w) * load1<T>(v);
      w += 4;
      v += rowBytes;
    }
  }
  f32.store(out, a / total);
}

/** Goes on with sums of eight dimensions of four queries for positions from … position, of blocks from their first on. */
function sumValues8Of4<T>(weights: usize, weightStride: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, from: i32, position: i32, out: usize, outStride: usize): void {
  let y = out;
  let a0 = v128.load(y), a1 = v128.load(y, 16);
  y += outStride;
  let b0 = v128.load(y), b1 = v128.load(y, 16);
  y += outStride;
  let c0 = v128.load(y), c1 = v128.load(y, 16);
  y += outStride;
  let d0 = v128.load(y), d1 = v128.load(y, 16);
  for (let first = from; first <= position; first += BLOCK_SIZE) {
    let v = inBlockOf(first, value, blockBytes, blockTable);
    let wa = weights + (<usize>first << 2);
    let wb = wa + weightStride, wc = wb + weightStride, wd = wc + weightStride;
    const end = wa + (<usize>min(BLOCK_SIZE, position + 1 - first) << 2);
    while (wa < end) {
      const v0 = load4<T>(v), v1 = load4<T>(v + 4 * sizeof<T>());
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
  y = out;
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
function finishValues8<T>(weights: usize, value: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, from: i32, position: i32, total: f32, out: usize): void {
  let a0 = v128.load(out), a1 = v128.load(out, 16);
  for (let p = from; p <= position; p++) {
    const v = inBlockOf(p, value, blockBytes, blockTable) + <usize>(p % BLOCK_SIZE) * rowBytes;
    const s = v128.load_splat<f32>(weights + (<usize>p << 2));
    a0 = f32x4.add(a0, f32x4.mul(s, load4<T>(v)));
    a1 = f32x4.add(a1, f32x4.mul(s, load4<T>(v + 4 * sizeof<T>())));
  }
  const totals = f32x4.splat(total);
  v128.store(out, f32x4.div(a0, totals));
  v128.store(out, f32x4.div(a1, totals), 16);
}

/** The last output dimensions of a head, from `dim` on, in whole vectors and then one by one. */
function sumLastValues<T>(weights: usize, values: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32, out: usize, dim: i32, headDim: i32): void {
  const rowBytes = <usize>headDim * sizeof<T>();
  let d = dim;
  for (; d + 4 <= headDim; d += 4) {
    sumValues4<T>(weights, values + <usize>d * sizeof<T>(), rowBytes, blockBytes, blockTable, position, total, out + (<usize>d << 2));
  }
  for (; d < headDim; d++) {
    sumValues1<T>(weights, values + <usize>d * sizeof<T>(), rowBytes, blockBytes, blockTable, position, total, out + (<usize>d << 2));
  }
}

/** Weights times the scales of their values, in place. `scales` is where those of the first block lie. */
function scaleWeights(weights: usize, scales: usize, blockBytes: usize, blockTable: usize, position: i32): void {
  for (let first = 0; first <= position; first += BLOCK_SIZE) {
    const w = weights + (<usize>first << 2), s = inBlockOf(first, scales, blockBytes, blockTable);
    v128.store(w, f32x4.mul(v128.load(w), v128.load(s)));
    v128.store(w, f32x4.mul(v128.load(w, 16), v128.load(s, 16)), 16);
    v128.store(w, f32x4.mul(v128.load(w, 32), v128.load(s, 32)), 32);
    v128.store(w, f32x4.mul(v128.load(w, 48), v128.load(s, 48)), 48);
  }
}

/** Tiles of up to four queries that `rows` rows of one sequence and one head make. */
@inline
function tilesOf(rows: i32): i32 {
  return (rows + QUERIES_PER_TILE - 1) / QUERIES_PER_TILE;
}

/** Where a sequence is described: its rows, and the address of its block table. */
const SEQUENCE_BYTES: usize = 8;

/**
 * Attention of the queries of `numSequences` sequences, whose rows follow one another at ascending positions. The work
 * is `numTiles` tiles of up to four queries of one sequence, for each head; those numbered `from … to − 1` are done
 * here: disjoint ranges may run at the same time. Each thread has four rows of `allScores`. `layerBase` is the slab plus
 * the layer's offset in a block; strides in bytes.
 */
export function attention<T>(
  out: usize, outStride: usize, q: usize, qStride: usize, layerBase: usize, blockBytes: usize, headBytes: usize,
  headDim: i32, queriesPerKvHead: i32, sequences: usize, numTiles: i32, positions: usize, scale: f32,
  allScores: usize, scoreStride: usize, from: i32, to: i32, thread: i32,
): void {
  const scores = allScores + <usize>(thread * QUERIES_PER_TILE) * scoreStride;
  const rowBytes = <usize>headDim << 2;
  let h = from / numTiles, inHead = from % numTiles;
  // Counted from the sequence's first row on.
  let tile = inHead;
  let sequence = sequences, rowBefore = 0;
  for (let i = from; i < to; i++) {
    while (tile >= tilesOf(load<i32>(sequence))) {
      tile -= tilesOf(load<i32>(sequence));
      rowBefore += load<i32>(sequence);
      sequence += SEQUENCE_BYTES;
    }
    const rows = load<i32>(sequence);
    const blockTable = <usize>load<i32>(sequence, 4);
    const inSequence = tile * QUERIES_PER_TILE;
    const first = <usize>(rowBefore + inSequence);
    const keys = layerBase + <usize>(h / queriesPerKvHead) * headBytes;
    const at = positions + (first << 2);
    const qh = q + first * qStride + <usize>h * rowBytes;
    const yh = out + first * outStride + <usize>h * rowBytes;
    if (inSequence + QUERIES_PER_TILE <= rows) {
      attendWith4<T>(yh, outStride, qh, qStride, headDim, keys, blockBytes, blockTable, at, scale, scores, scoreStride);
    } else {
      for (let t = 0; t < rows - inSequence; t++) {
        const y = yh + <usize>t * outStride;
        attendWith1<T>(y, qh + <usize>t * qStride, headDim, keys, blockBytes, blockTable, load<i32>(at + (<usize>t << 2)), scale, scores);
      }
    }
    tile++;
    if (++inHead < numTiles) continue;
    h++;
    inHead = 0;
    tile = 0;
    sequence = sequences;
    rowBefore = 0;
  }
}

function attendWith1<T>(out: usize, q: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, position: i32, scale: f32, scores: usize): void {
  const rowBytes = <usize>headDim * sizeof<T>();
  const values = keys + <usize>headDim * keyRowBytes<T>();
  scoreKeys<T>(q, headDim, keys, blockBytes, blockTable, position, scale, scores);
  const total = weighScores(scores, position);
  if (isInteger<T>()) scaleWeights(scores, values + <usize>headDim * keyRowBytes<T>() + VALUE_SCALES, blockBytes, blockTable, position);
  let dim = 0;
  for (; dim + 32 <= headDim; dim += 32) {
    sumValues32<T>(scores, values + <usize>dim * sizeof<T>(), rowBytes, blockBytes, blockTable, position, total, out + (<usize>dim << 2));
  }
  sumLastValues<T>(scores, values, blockBytes, blockTable, position, total, out, dim, headDim);
}

function attendWith4<T>(out: usize, outStride: usize, q: usize, qStride: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, positions: usize, scale: f32, scores: usize, scoreStride: usize): void {
  const rowBytes = <usize>headDim * sizeof<T>();
  const values = keys + <usize>headDim * keyRowBytes<T>();
  // Positions ascend: what the first query reaches, all four reach.
  const least = load<i32>(positions), greatest = load<i32>(positions, 12);
  scoreKeysOf4<T>(q, qStride, headDim, keys, blockBytes, blockTable, greatest, scale, scores, scoreStride);
  const positionB = load<i32>(positions, 4), positionC = load<i32>(positions, 8);
  const totalA = weighScores(scores, least);
  const totalB = weighScores(scores + scoreStride, positionB);
  const totalC = weighScores(scores + 2 * scoreStride, positionC);
  const totalD = weighScores(scores + 3 * scoreStride, greatest);
  if (isInteger<T>()) {
    const scales = values + <usize>headDim * keyRowBytes<T>() + VALUE_SCALES;
    scaleWeights(scores, scales, blockBytes, blockTable, least);
    scaleWeights(scores + scoreStride, scales, blockBytes, blockTable, positionB);
    scaleWeights(scores + 2 * scoreStride, scales, blockBytes, blockTable, positionC);
    scaleWeights(scores + 3 * scoreStride, scales, blockBytes, blockTable, greatest);
  }
  const whole = headDim & ~7;
  let y = out;
  for (let t = 0; t < QUERIES_PER_TILE; t++) {
    memory.fill(y, 0, <usize>whole << 2);
    y += outStride;
  }
  // Some blocks at a time, whose values stay near while they are gone through eight dimensions after eight.
  for (let from = 0; from <= least; from += TOUCHED) {
    const to = min(from + TOUCHED - 1, least);
    for (let dim = 0; dim < whole; dim += 8) {
      sumValues8Of4<T>(scores, scoreStride, values + <usize>dim * sizeof<T>(), rowBytes, blockBytes, blockTable, from, to, out + (<usize>dim << 2), outStride);
    }
  }
  for (let dim = 0; dim < whole; dim += 8) {
    const v = values + <usize>dim * sizeof<T>();
    let w = scores;
    y = out + (<usize>dim << 2);
    finishValues8<T>(w, v, rowBytes, blockBytes, blockTable, least + 1, least, totalA, y);
    y += outStride;
    w += scoreStride;
    finishValues8<T>(w, v, rowBytes, blockBytes, blockTable, least + 1, positionB, totalB, y);
    y += outStride;
    w += scoreStride;
    finishValues8<T>(w, v, rowBytes, blockBytes, blockTable, least + 1, positionC, totalC, y);
    y += outStride;
    w += scoreStride;
    finishValues8<T>(w, v, rowBytes, blockBytes, blockTable, least + 1, greatest, totalD, y);
  }
  if (whole < headDim) {
    sumLastValues<T>(scores, values, blockBytes, blockTable, least, totalA, out, whole, headDim);
    sumLastValues<T>(scores + scoreStride, values, blockBytes, blockTable, positionB, totalB, out + outStride, whole, headDim);
    sumLastValues<T>(scores + 2 * scoreStride, values, blockBytes, blockTable, positionC, totalC, out + 2 * outStride, whole, headDim);
    sumLastValues<T>(scores + 3 * scoreStride, values, blockBytes, blockTable, greatest, totalD, out + 3 * outStride, whole, headDim);
  }
}
