// Attention's first sums: the scaled scores of one query to four against the keys of the blocks of positions
// `first … last`. Queries that go through a block together share its loads and nothing else.
//
// Beside each line of a block's keys a byte of its values is read, and not used: they come from memory while keys are
// multiplied, and need not be waited for when their turn comes. What was read goes, unused, to where the scores are stored
// next, so that no compiler leaves it out.
//
// `T` is the type of K and V as stored: f32, u16 or i8 (kv-blocks.ts).

import { BLOCK_SIZE } from "./generated/constants";
import { blockBegin, inBlockOf, isScaled, keyRowBytes, load4, TOUCHED, touchBlocks } from "./kv-blocks";

/** Of one query. */
export function scoreKeys1<T>(
  scores: usize, q: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize, first: i32, last: i32, scale: f32,
): void {
  const qEnd = q + (<usize>headDim << 2);
  const scales = f32x4.splat(scale), toValues = <usize>headDim * keyRowBytes<T>();
  let touched = 0;
  for (let p = blockBegin(first); p <= last; p += BLOCK_SIZE) {
    if (p >= touched) touched = touchBlocks(keys, toValues, blockBytes, blockTable, p, last);
    let key = inBlockOf(p, keys, blockBytes, blockTable);
    let a = f32x4.splat(0), b = a, c = a, d = a, read: u8 = 0;
    for (let qp = q; qp < qEnd; qp += 4) {
      const s = v128.load_splat<f32>(qp);
      a = f32x4.add(a, f32x4.mul(s, load4<T>(key)));
      b = f32x4.add(b, f32x4.mul(s, load4<T>(key + 4 * sizeof<T>())));
      c = f32x4.add(c, f32x4.mul(s, load4<T>(key + 8 * sizeof<T>())));
      d = f32x4.add(d, f32x4.mul(s, load4<T>(key + 12 * sizeof<T>())));
      read |= load<u8>(key + toValues);
      key += keyRowBytes<T>();
    }
    if (isScaled<T>()) {
      // Behind K comes V, of the same size, and then the keys' scales.
      const keyScales = key + toValues;
      a = f32x4.mul(a, v128.load(keyScales));
      b = f32x4.mul(b, v128.load(keyScales, 16));
      c = f32x4.mul(c, v128.load(keyScales, 32));
      d = f32x4.mul(d, v128.load(keyScales, 48));
    }
    const at = scores + (<usize>p << 2);
    store<u8>(at, read);
    v128.store(at, f32x4.mul(a, scales));
    v128.store(at, f32x4.mul(b, scales), 16);
    v128.store(at, f32x4.mul(c, scales), 32);
    v128.store(at, f32x4.mul(d, scales), 48);
  }
}

/** Of two, their scores `scoreStride` bytes apart. */
export function scoreKeys2<T>(
  scores: usize, scoreStride: usize, qa: usize, qb: usize, headDim: i32, keys: usize, blockBytes: usize, blockTable: usize,
  first: i32, last: i32, scale: f32,
): void {
  const qEnd = qa + (<usize>headDim << 2);
  const scales = f32x4.splat(scale), toValues = <usize>headDim * keyRowBytes<T>();
  let touched = 0;
  for (let p = blockBegin(first); p <= last; p += BLOCK_SIZE) {
    if (p >= touched) touched = touchBlocks(keys, toValues, blockBytes, blockTable, p, last);
    let key = inBlockOf(p, keys, blockBytes, blockTable);
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, read: u8 = 0;
    for (let qap = qa, qbp = qb; qap < qEnd; qap += 4) {
      const sa = v128.load_splat<f32>(qap), sb = v128.load_splat<f32>(qbp);
      let k = load4<T>(key);
      a0 = f32x4.add(a0, f32x4.mul(sa, k));
      b0 = f32x4.add(b0, f32x4.mul(sb, k));
      k = load4<T>(key + 4 * sizeof<T>());
      a1 = f32x4.add(a1, f32x4.mul(sa, k));
      b1 = f32x4.add(b1, f32x4.mul(sb, k));
      k = load4<T>(key + 8 * sizeof<T>());
      a2 = f32x4.add(a2, f32x4.mul(sa, k));
      b2 = f32x4.add(b2, f32x4.mul(sb, k));
      k = load4<T>(key + 12 * sizeof<T>());
      a3 = f32x4.add(a3, f32x4.mul(sa, k));
      b3 = f32x4.add(b3, f32x4.mul(sb, k));
      read |= load<u8>(key + toValues);
      key += keyRowBytes<T>();
      qbp += 4;
    }
    if (isScaled<T>()) {
      const keyScales = key + toValues;
      const s0 = v128.load(keyScales), s1 = v128.load(keyScales, 16), s2 = v128.load(keyScales, 32);
      const s3 = v128.load(keyScales, 48);
      a0 = f32x4.mul(a0, s0);
      a1 = f32x4.mul(a1, s1);
      a2 = f32x4.mul(a2, s2);
      a3 = f32x4.mul(a3, s3);
      b0 = f32x4.mul(b0, s0);
      b1 = f32x4.mul(b1, s1);
      b2 = f32x4.mul(b2, s2);
      b3 = f32x4.mul(b3, s3);
    }
    let at = scores + (<usize>p << 2);
    store<u8>(at, read);
    v128.store(at, f32x4.mul(a0, scales));
    v128.store(at, f32x4.mul(a1, scales), 16);
    v128.store(at, f32x4.mul(a2, scales), 32);
    v128.store(at, f32x4.mul(a3, scales), 48);
    at += scoreStride;
    v128.store(at, f32x4.mul(b0, scales));
    v128.store(at, f32x4.mul(b1, scales), 16);
    v128.store(at, f32x4.mul(b2, scales), 32);
    v128.store(at, f32x4.mul(b3, scales), 48);
  }
}

/** Of three. */
export function scoreKeys3<T>(
  scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, headDim: i32, keys: usize, blockBytes: usize,
  blockTable: usize, first: i32, last: i32, scale: f32,
): void {
  scoreHalfBlocks<T>(3, scores, scoreStride, qa, qb, qc, qc, headDim, keys, blockBytes, blockTable, first, last, scale);
}

/** Of four. */
export function scoreKeys4<T>(
  scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, qd: usize, headDim: i32, keys: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32, scale: f32,
): void {
  scoreHalfBlocks<T>(4, scores, scoreStride, qa, qb, qc, qd, headDim, keys, blockBytes, blockTable, first, last, scale);
}

/** Of `n` queries, three or four: a constant, so that each number has code of its own. */
@inline
function scoreHalfBlocks<T>(
  n: i32, scores: usize, scoreStride: usize, qa: usize, qb: usize, qc: usize, qd: usize, headDim: i32, keys: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32, scale: f32,
): void {
  const scales = f32x4.splat(scale), toValues = <usize>headDim * keyRowBytes<T>();
  let touched = 0;
  for (let p = blockBegin(first); p <= last; p += BLOCK_SIZE) {
    if (p >= touched) touched = touchBlocks(keys, toValues, blockBytes, blockTable, p, last);
    const block = inBlockOf(p, keys, blockBytes, blockTable);
    // Eight keys at a time: with all sixteen the running sums would not fit into the registers.
    for (let half: usize = 0; half < 2; half++) {
      let key = block + half * (keyRowBytes<T>() >> 1);
      const end = key + toValues;
      let qap = qa, qbp = qb, qcp = qc, qdp = qd;
      let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0, read: u8 = 0;
      while (key < end) {
        const k0 = load4<T>(key), k1 = load4<T>(key + 4 * sizeof<T>());
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
        read |= load<u8>(key + toValues);
        key += keyRowBytes<T>();
        qap += 4;
        qbp += 4;
        qcp += 4;
      }
      if (isScaled<T>()) {
        const keyScales = block + 2 * toValues + (half << 5);
        const s0 = v128.load(keyScales), s1 = v128.load(keyScales, 16);
        a0 = f32x4.mul(a0, s0);
        a1 = f32x4.mul(a1, s1);
        b0 = f32x4.mul(b0, s0);
        b1 = f32x4.mul(b1, s1);
        c0 = f32x4.mul(c0, s0);
        c1 = f32x4.mul(c1, s1);
        if (n == 4) {
          d0 = f32x4.mul(d0, s0);
          d1 = f32x4.mul(d1, s1);
        }
      }
      let at = scores + (<usize>p << 2) + (half << 5);
      store<u8>(at, read);
      v128.store(at, f32x4.mul(a0, scales));
      v128.store(at, f32x4.mul(a1, scales), 16);
      at += scoreStride;
      v128.store(at, f32x4.mul(b0, scales));
      v128.store(at, f32x4.mul(b1, scales), 16);
      at += scoreStride;
      v128.store(at, f32x4.mul(c0, scales));
      v128.store(at, f32x4.mul(c1, scales), 16);
      if (n == 4) {
        at += scoreStride;
        v128.store(at, f32x4.mul(d0, scales));
        v128.store(at, f32x4.mul(d1, scales), 16);
      }
    }
  }
}
