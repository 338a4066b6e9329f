// Attention's first sums: the scaled scores of one query to four against the keys of the blocks of positions
// `first … last`. Queries that go through a block together share its loads and nothing else.
//
// A block's keys are a panel of 16 columns. A wide tile takes all of them: of up to four queries where V8 fuses pairs of
// vectors, of up to two where it does not; more go through the halves of a block, whose sums fit into the registers.
//
// Beside each line of a block's keys a byte of its values is read, and not used: they come from memory while keys are
// multiplied, and need not be waited for when their turn comes. What was read goes, unused, to where the scores are stored
// next, so that no compiler leaves it out.
//
// `T` is the type of K and V as stored: f32, u16 or i8 (kv-blocks.ts).

import { BLOCK_SIZE } from "./generated/constants";
import { magnitudes, notFiniteHigh, notFiniteLow } from "./half";
import { blockBegin, high4, inBlockOf, isScaled, keyRowBytes, load8, low4, touchBlocks } from "./kv-blocks";

/** Of one query. */
export function scoreKeys1<T>(
  scores: usize, q: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, first: i32, last: i32, scale: f32, ahead: bool,
): void {
  scoreWide<T>(1, scores, 0, q, q, q, q, headDim, keys, blockBytes, blockTable, first, last, scale, ahead);
}

/** Of two, their scores `scoreStride` bytes apart. */
export function scoreKeys2<T>(
  scores: usize, scoreStride: usize, qa: usize, qb: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize,
  first: i32, last: i32, scale: f32, ahead: bool,
): void {
  scoreWide<T>(2, scores, scoreStride, qa, qb, qb, qb, headDim, keys, blockBytes, blockTable, first, last, scale, ahead);
}

/** Of three, where V8 fuses. */
export function scoreKeys3Wide<T>(
  scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, headDim: i32, keys: usize, blockBytes: usize,
  blockTable: usize, first: i32, last: i32, scale: f32, ahead: bool,
): void {
  scoreWide<T>(3, scores, scoreStride, qa, qb, qc, qc, headDim, keys, blockBytes, blockTable, first, last, scale, ahead);
}

/** Of four, where V8 fuses. */
export function scoreKeys4Wide<T>(
  scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, qd: usize, headDim: i32, keys: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32, scale: f32, ahead: bool,
): void {
  scoreWide<T>(4, scores, scoreStride, qa, qb, qc, qd, headDim, keys, blockBytes, blockTable, first, last, scale, ahead);
}

/** Of `n` queries, one to four: a constant, so that each number has code of its own. */
@inline
function scoreWide<T>(
  n: i32, scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, qd: usize, headDim: i32, keys: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32, scale: f32, ahead: bool,
): void {
  const qEnd = qa + (<usize>headDim << 2);
  const scales = f32x4.splat(scale), toValues = <usize>headDim * keyRowBytes<T>();
  let touched = 0;
  for (let p = blockBegin(first); p <= last; p += BLOCK_SIZE) {
    if (ahead && p >= touched) touched = touchBlocks(keys, toValues, blockBytes, blockTable, p, last);
    let key = inBlockOf(p, keys, blockBytes, blockTable);
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    let c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0, m0 = a0, m1 = a0, read: u8 = 0;
    for (let qap = qa, qbp = qb, qcp = qc, qdp = qd; qap < qEnd; qap += 4) {
      let k0: v128, k1: v128, k2: v128, k3: v128;
      if (sizeof<T>() == 4) {
        k0 = v128.load(key);
        k1 = v128.load(key, 16);
        k2 = v128.load(key, 32);
        k3 = v128.load(key, 48);
      } else {
        const low = load8<T>(key), high = load8<T>(key + 8 * sizeof<T>());
        k0 = low4<T>(low);
        k1 = high4<T>(low);
        k2 = low4<T>(high);
        k3 = high4<T>(high);
        if (sizeof<T>() == 2) {
          m0 = magnitudes(m0, low);
          m1 = magnitudes(m1, high);
        }
      }
      let s = v128.load_splat<f32>(qap);
      a0 = f32x4.add(a0, f32x4.mul(s, k0));
      a1 = f32x4.add(a1, f32x4.mul(s, k1));
      a2 = f32x4.add(a2, f32x4.mul(s, k2));
      a3 = f32x4.add(a3, f32x4.mul(s, k3));
      if (n > 1) {
        s = v128.load_splat<f32>(qbp);
        b0 = f32x4.add(b0, f32x4.mul(s, k0));
        b1 = f32x4.add(b1, f32x4.mul(s, k1));
        b2 = f32x4.add(b2, f32x4.mul(s, k2));
        b3 = f32x4.add(b3, f32x4.mul(s, k3));
        qbp += 4;
      }
      if (n > 2) {
        s = v128.load_splat<f32>(qcp);
        c0 = f32x4.add(c0, f32x4.mul(s, k0));
        c1 = f32x4.add(c1, f32x4.mul(s, k1));
        c2 = f32x4.add(c2, f32x4.mul(s, k2));
        c3 = f32x4.add(c3, f32x4.mul(s, k3));
        qcp += 4;
      }
      if (n > 3) {
        s = v128.load_splat<f32>(qdp);
        d0 = f32x4.add(d0, f32x4.mul(s, k0));
        d1 = f32x4.add(d1, f32x4.mul(s, k1));
        d2 = f32x4.add(d2, f32x4.mul(s, k2));
        d3 = f32x4.add(d3, f32x4.mul(s, k3));
        qdp += 4;
      }
      if (ahead) read |= load<u8>(key + toValues);
      key += keyRowBytes<T>();
    }
    // What a score is multiplied by, or whether its key is NaN: of the four vectors of keys.
    let t0 = scales, t1 = scales, t2 = scales, t3 = scales;
    if (isScaled<T>()) {
      // Behind K comes V, of the same size, and then the keys' scales.
      const keyScales = key + toValues;
      t0 = v128.load(keyScales);
      t1 = v128.load(keyScales, 16);
      t2 = v128.load(keyScales, 32);
      t3 = v128.load(keyScales, 48);
    } else if (sizeof<T>() == 2) {
      t0 = notFiniteLow(m0);
      t1 = notFiniteHigh(m0);
      t2 = notFiniteLow(m1);
      t3 = notFiniteHigh(m1);
    }
    let at = scores + (<usize>p << 2);
    store<u8>(at, read);
    v128.store(at, scored<T>(a0, t0, scales));
    v128.store(at, scored<T>(a1, t1, scales), 16);
    v128.store(at, scored<T>(a2, t2, scales), 32);
    v128.store(at, scored<T>(a3, t3, scales), 48);
    if (n > 1) {
      at += scoreStride;
      v128.store(at, scored<T>(b0, t0, scales));
      v128.store(at, scored<T>(b1, t1, scales), 16);
      v128.store(at, scored<T>(b2, t2, scales), 32);
      v128.store(at, scored<T>(b3, t3, scales), 48);
    }
    if (n > 2) {
      at += scoreStride;
      v128.store(at, scored<T>(c0, t0, scales));
      v128.store(at, scored<T>(c1, t1, scales), 16);
      v128.store(at, scored<T>(c2, t2, scales), 32);
      v128.store(at, scored<T>(c3, t3, scales), 48);
    }
    if (n > 3) {
      at += scoreStride;
      v128.store(at, scored<T>(d0, t0, scales));
      v128.store(at, scored<T>(d1, t1, scales), 16);
      v128.store(at, scored<T>(d2, t2, scales), 32);
      v128.store(at, scored<T>(d3, t3, scales), 48);
    }
  }
}

/** A sum becomes a score. `t` is what its keys have beside their values: scales, or which of them are NaN. */
@inline
function scored<T>(sum: v128, t: v128, scale: v128): v128 {
  if (isScaled<T>()) return f32x4.mul(f32x4.mul(sum, t), scale);
  return f32x4.mul(sizeof<T>() == 2 ? v128.or(sum, t) : sum, scale);
}

/** Of three, by halves of blocks. */
export function scoreKeys3<T>(
  scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, headDim: i32, keys: usize, blockBytes: usize,
  blockTable: usize, first: i32, last: i32, scale: f32, ahead: bool,
): void {
  scoreHalves<T>(3, scores, scoreStride, qa, qb, qc, qc, headDim, keys, blockBytes, blockTable, first, last, scale, ahead);
}

/** Of four, by halves of blocks. */
export function scoreKeys4<T>(
  scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, qd: usize, headDim: i32, keys: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32, scale: f32, ahead: bool,
): void {
  scoreHalves<T>(4, scores, scoreStride, qa, qb, qc, qd, headDim, keys, blockBytes, blockTable, first, last, scale, ahead);
}

/** Of `n` queries, three or four: a constant. */
@inline
function scoreHalves<T>(
  n: i32, scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, qd: usize, headDim: i32, keys: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32, scale: f32, ahead: bool,
): void {
  const scales = f32x4.splat(scale), toValues = <usize>headDim * keyRowBytes<T>();
  let touched = 0;
  for (let p = blockBegin(first); p <= last; p += BLOCK_SIZE) {
    if (ahead && p >= touched) touched = touchBlocks(keys, toValues, blockBytes, blockTable, p, last);
    const block = inBlockOf(p, keys, blockBytes, blockTable);
    for (let half: usize = 0; half < 2; half++) {
      let key = block + half * (keyRowBytes<T>() >> 1);
      const end = key + toValues;
      let qap = qa, qbp = qb, qcp = qc, qdp = qd;
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0, m = a0, read: u8 = 0;
      while (key < end) {
        let k0: v128, k1: v128;
        if (sizeof<T>() == 4) {
          k0 = v128.load(key);
          k1 = v128.load(key, 16);
        } else {
          const eight = load8<T>(key);
          k0 = low4<T>(eight);
          k1 = high4<T>(eight);
          if (sizeof<T>() == 2) m = magnitudes(m, eight);
        }
        let s = v128.load_splat<f32>(qap);
        a0 = f32x4.add(a0, f32x4.mul(s, k0));
        a1 = f32x4.add(a1, f32x4.mul(s, k1));
        s = v128.load_splat<f32>(qbp);
        b0 = f32x4.add(b0, f32x4.mul(s, k0));
        b1 = f32x4.add(b1, f32x4.mul(s, k1));
        s = v128.load_splat<f32>(qcp);
        c0 = f32x4.add(c0, f32x4.mul(s, k0));
        c1 = f32x4.add(c1, f32x4.mul(s, k1));
        if (n == 4) {
          s = v128.load_splat<f32>(qdp);
          d0 = f32x4.add(d0, f32x4.mul(s, k0));
          d1 = f32x4.add(d1, f32x4.mul(s, k1));
          qdp += 4;
        }
        if (ahead) read |= load<u8>(key + toValues);
        key += keyRowBytes<T>();
        qap += 4;
        qbp += 4;
        qcp += 4;
      }
      let t0 = scales, t1 = scales;
      if (isScaled<T>()) {
        const keyScales = block + 2 * toValues + (half << 5);
        t0 = v128.load(keyScales);
        t1 = v128.load(keyScales, 16);
      } else if (sizeof<T>() == 2) {
        t0 = notFiniteLow(m);
        t1 = notFiniteHigh(m);
      }
      let at = scores + (<usize>p << 2) + (half << 5);
      store<u8>(at, read);
      v128.store(at, scored<T>(a0, t0, scales));
      v128.store(at, scored<T>(a1, t1, scales), 16);
      at += scoreStride;
      v128.store(at, scored<T>(b0, t0, scales));
      v128.store(at, scored<T>(b1, t1, scales), 16);
      at += scoreStride;
      v128.store(at, scored<T>(c0, t0, scales));
      v128.store(at, scored<T>(c1, t1, scales), 16);
      if (n == 4) {
        at += scoreStride;
        v128.store(at, scored<T>(d0, t0, scales));
        v128.store(at, scored<T>(d1, t1, scales), 16);
      }
    }
  }
}
