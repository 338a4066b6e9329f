// Attention's second sums: weights times values, position by position, of one query to four. Sums of several queries lie in
// their outputs and go on from there, so that what all of them see can be gone through together, and what only some see
// before and after it.
//
// `T` is the type of K and V as stored: f32, u16 or i8 (kv-blocks.ts). `rowBytes` is that of a position's values.

import { BLOCK_SIZE } from "./generated/constants";
import { blockBegin, inBlockOf, load1, load4 } from "./kv-blocks";

/** Output dimensions dim … dim + 31 of one query that sees all positions up to its own. */
export function sumValues32<T>(
  out: usize, weights: usize, values: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, position: i32, total: f32,
): void {
  sum32<T>(false, out, weights, values, rowBytes, blockBytes, blockTable, 0, position, total);
}

/** Of one that sees positions from `first` on. */
export function sumSeenValues32<T>(
  out: usize, weights: usize, values: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, first: i32, position: i32, total: f32,
): void {
  sum32<T>(true, out, weights, values, rowBytes, blockBytes, blockTable, first, position, total);
}

/** Eight running sums. `windowed` is a constant: where all is seen, even so little to skip costs as much as a tenth. */
@inline
function sum32<T>(
  windowed: bool, out: usize, weights: usize, values: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, first: i32,
  position: i32, total: f32,
): void {
  let a = f32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  for (let block = windowed ? blockBegin(first) : 0; block <= position; block += BLOCK_SIZE) {
    let v = inBlockOf(block, values, blockBytes, blockTable);
    let w = weights + (<usize>block << 2);
    const end = w + (<usize>min(BLOCK_SIZE, position + 1 - block) << 2);
    if (windowed) {
      const skipped = <usize>max(0, first - block);
      v += skipped * rowBytes;
      w += skipped << 2;
    }
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

/** Output dimensions dim … dim + 3 of one query. */
function sumValues4<T>(
  out: usize, weights: usize, values: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, first: i32, position: i32, total: f32,
): void {
  let a = f32x4.splat(0);
  for (let block = blockBegin(first); block <= position; block += BLOCK_SIZE) {
    const p = max(block, first);
    let v = inBlockOf(block, values, blockBytes, blockTable) + <usize>(p - block) * rowBytes;
    let w = weights + (<usize>p << 2);
    const end = weights + (<usize>min(block + BLOCK_SIZE, position + 1) << 2);
    while (w < end) {
      a = f32x4.add(a, f32x4.mul(v128.load_splat<f32>(w), load4<T>(v)));
      w += 4;
      v += rowBytes;
    }
  }
  v128.store(out, f32x4.div(a, f32x4.splat(total)));
}

/** One output dimension, for head sizes that are no multiple of four. */
function sumValues1<T>(
  out: usize, weights: usize, values: usize, rowBytes: usize, blockBytes: usize, blockTable: usize, first: i32, position: i32, total: f32,
): void {
  let a: f32 = 0;
  for (let block = blockBegin(first); block <= position; block += BLOCK_SIZE) {
    const p = max(block, first);
    let v = inBlockOf(block, values, blockBytes, blockTable) + <usize>(p - block) * rowBytes;
    let w = weights + (<usize>p << 2);
    const end = weights + (<usize>min(block + BLOCK_SIZE, position + 1) << 2);
    while (w < end) {
      a += f32.load(w) * load1<T>(v);
      w += 4;
      v += rowBytes;
    }
  }
  f32.store(out, a / total);
}

/** The last output dimensions of one query, from `dim` on, in whole vectors and then one by one. */
export function sumLastValues<T>(
  out: usize, weights: usize, values: usize, headDim: i32, dim: i32, blockBytes: usize, blockTable: usize, first: i32, position: i32, total: f32,
): void {
  const rowBytes = <usize>headDim * sizeof<T>();
  let d = dim;
  for (; d + 4 <= headDim; d += 4) {
    sumValues4<T>(out + (<usize>d << 2), weights, values + <usize>d * sizeof<T>(), rowBytes, blockBytes, blockTable, first, position, total);
  }
  for (; d < headDim; d++) {
    sumValues1<T>(out + (<usize>d << 2), weights, values + <usize>d * sizeof<T>(), rowBytes, blockBytes, blockTable, first, position, total);
  }
}

/** Goes on with sums of the first `dims` dimensions of one query, a multiple of four, over positions first … last: few. */
export function addValues<T>(
  out: usize, weights: usize, values: usize, dims: i32, rowBytes: usize, blockBytes: usize, blockTable: usize, first: i32, last: i32,
): void {
  const end = out + (<usize>dims << 2);
  for (let p = first; p <= last; p++) {
    const s = v128.load_splat<f32>(weights + (<usize>p << 2));
    let v = inBlockOf(p, values, blockBytes, blockTable) + <usize>(p - blockBegin(p)) * rowBytes;
    for (let y = out; y < end; y += 16) {
      v128.store(y, f32x4.add(v128.load(y), f32x4.mul(s, load4<T>(v))));
      v += 4 * sizeof<T>();
    }
  }
}

/** Goes on with sums of sixteen dimensions of two queries. */
export function addValues16Of2<T>(
  ya: usize, yb: usize, weights: usize, weightStride: usize, values: usize, rowBytes: usize, blockBytes: usize,
  blockTable: usize, first: i32, last: i32,
): void {
  let a0 = v128.load(ya), a1 = v128.load(ya, 16), a2 = v128.load(ya, 32), a3 = v128.load(ya, 48);
  let b0 = v128.load(yb), b1 = v128.load(yb, 16), b2 = v128.load(yb, 32), b3 = v128.load(yb, 48);
  for (let block = blockBegin(first); block <= last; block += BLOCK_SIZE) {
    const p = max(block, first);
    let v = inBlockOf(block, values, blockBytes, blockTable) + <usize>(p - block) * rowBytes;
    let wa = weights + (<usize>p << 2), wb = wa + weightStride;
    const end = weights + (<usize>min(block + BLOCK_SIZE, last + 1) << 2);
    while (wa < end) {
      const sa = v128.load_splat<f32>(wa), sb = v128.load_splat<f32>(wb);
      let value = load4<T>(v);
      a0 = f32x4.add(a0, f32x4.mul(sa, value));
      b0 = f32x4.add(b0, f32x4.mul(sb, value));
      value = load4<T>(v + 4 * sizeof<T>());
      a1 = f32x4.add(a1, f32x4.mul(sa, value));
      b1 = f32x4.add(b1, f32x4.mul(sb, value));
      value = load4<T>(v + 8 * sizeof<T>());
      a2 = f32x4.add(a2, f32x4.mul(sa, value));
      b2 = f32x4.add(b2, f32x4.mul(sb, value));
      value = load4<T>(v + 12 * sizeof<T>());
      a3 = f32x4.add(a3, f32x4.mul(sa, value));
      b3 = f32x4.add(b3, f32x4.mul(sb, value));
      wa += 4;
      wb += 4;
      v += rowBytes;
    }
  }
  v128.store(ya, a0);
  v128.store(ya, a1, 16);
  v128.store(ya, a2, 32);
  v128.store(ya, a3, 48);
  v128.store(yb, b0);
  v128.store(yb, b1, 16);
  v128.store(yb, b2, 32);
  v128.store(yb, b3, 48);
}

/** Goes on with sums of eight dimensions of three queries. */
export function addValues8Of3<T>(
  ya: usize, yb: usize, yc: usize, weights: usize, weightStride: usize, values: usize, rowBytes: usize, blockBytes: usize,
  blockTable: usize, first: i32, last: i32,
): void {
  addValues8<T>(3, ya, yb, yc, yc, weights, weightStride, values, rowBytes, blockBytes, blockTable, first, last);
}

/** Of four. */
export function addValues8Of4<T>(
  ya: usize, yb: usize, yc: usize, yd: usize, weights: usize, weightStride: usize, values: usize, rowBytes: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32,
): void {
  addValues8<T>(4, ya, yb, yc, yd, weights, weightStride, values, rowBytes, blockBytes, blockTable, first, last);
}

/** Of `n` queries, three or four: a constant, so that each number has code of its own. */
@inline
function addValues8<T>(
  n: i32, ya: usize, yb: usize, yc: usize, yd: usize, weights: usize, weightStride: usize, values: usize, rowBytes: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32,
): void {
  let a0 = v128.load(ya), a1 = v128.load(ya, 16), b0 = v128.load(yb), b1 = v128.load(yb, 16);
  let c0 = v128.load(yc), c1 = v128.load(yc, 16), d0 = v128.load(yd), d1 = v128.load(yd, 16);
  for (let block = blockBegin(first); block <= last; block += BLOCK_SIZE) {
    const p = max(block, first);
    let v = inBlockOf(block, values, blockBytes, blockTable) + <usize>(p - block) * rowBytes;
    let wa = weights + (<usize>p << 2);
    let wb = wa + weightStride, wc = wb + weightStride, wd = wc + weightStride;
    const end = weights + (<usize>min(block + BLOCK_SIZE, last + 1) << 2);
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
      if (n == 4) {
        s = v128.load_splat<f32>(wd);
        d0 = f32x4.add(d0, f32x4.mul(s, v0));
        d1 = f32x4.add(d1, f32x4.mul(s, v1));
        wd += 4;
      }
      wa += 4;
      wb += 4;
      wc += 4;
      v += rowBytes;
    }
  }
  v128.store(ya, a0);
  v128.store(ya, a1, 16);
  v128.store(yb, b0);
  v128.store(yb, b1, 16);
  v128.store(yc, c0);
  v128.store(yc, c1, 16);
  if (n == 4) {
    v128.store(yd, d0);
    v128.store(yd, d1, 16);
  }
}
