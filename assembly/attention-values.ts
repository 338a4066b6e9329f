// Attention's second sums: weights times values, position by position, of one query to four. Sums of several queries lie in
// their outputs and go on from there, so that what all of them see can be gone through together, and what only some see
// before and after it.
//
// `T` is the type of K and V as stored: f32, u16 or i8 (kv-blocks.ts). `rowBytes` is that of a position's values.

import { BLOCK_SIZE } from "./generated/constants";
import { magnitudes, notFiniteHigh, notFiniteLow } from "./half";
import { blockBegin, high4, inBlockOf, load1, load4, load8, low4 } from "./kv-blocks";

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
  let a = f32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a, m0 = a, m1 = a, m2 = a, m3 = a;
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
      if (sizeof<T>() == 4) {
        a = f32x4.add(a, f32x4.mul(s, v128.load(v)));
        b = f32x4.add(b, f32x4.mul(s, v128.load(v, 16)));
        c = f32x4.add(c, f32x4.mul(s, v128.load(v, 32)));
        d = f32x4.add(d, f32x4.mul(s, v128.load(v, 48)));
        e = f32x4.add(e, f32x4.mul(s, v128.load(v, 64)));
        f = f32x4.add(f, f32x4.mul(s, v128.load(v, 80)));
        g = f32x4.add(g, f32x4.mul(s, v128.load(v, 96)));
        h = f32x4.add(h, f32x4.mul(s, v128.load(v, 112)));
      } else {
        let eight = load8<T>(v);
        a = f32x4.add(a, f32x4.mul(s, low4<T>(eight)));
        b = f32x4.add(b, f32x4.mul(s, high4<T>(eight)));
        if (sizeof<T>() == 2) m0 = magnitudes(m0, eight);
        eight = load8<T>(v + 8 * sizeof<T>());
        c = f32x4.add(c, f32x4.mul(s, low4<T>(eight)));
        d = f32x4.add(d, f32x4.mul(s, high4<T>(eight)));
        if (sizeof<T>() == 2) m1 = magnitudes(m1, eight);
        eight = load8<T>(v + 16 * sizeof<T>());
        e = f32x4.add(e, f32x4.mul(s, low4<T>(eight)));
        f = f32x4.add(f, f32x4.mul(s, high4<T>(eight)));
        if (sizeof<T>() == 2) m2 = magnitudes(m2, eight);
        eight = load8<T>(v + 24 * sizeof<T>());
        g = f32x4.add(g, f32x4.mul(s, low4<T>(eight)));
        h = f32x4.add(h, f32x4.mul(s, high4<T>(eight)));
        if (sizeof<T>() == 2) m3 = magnitudes(m3, eight);
      }
      w += 4;
      v += rowBytes;
    }
  }
  if (sizeof<T>() == 2) {
    a = v128.or(a, notFiniteLow(m0));
    b = v128.or(b, notFiniteHigh(m0));
    c = v128.or(c, notFiniteLow(m1));
    d = v128.or(d, notFiniteHigh(m1));
    e = v128.or(e, notFiniteLow(m2));
    f = v128.or(f, notFiniteHigh(m2));
    g = v128.or(g, notFiniteLow(m3));
    h = v128.or(h, notFiniteHigh(m3));
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
  addValues16<T>(2, ya, yb, yb, yb, weights, weightStride, values, rowBytes, blockBytes, blockTable, first, last);
}

/** Of three, where V8 fuses. */
export function addValues16Of3<T>(
  ya: usize, yb: usize, yc: usize, weights: usize, weightStride: usize, values: usize, rowBytes: usize, blockBytes: usize,
  blockTable: usize, first: i32, last: i32,
): void {
  addValues16<T>(3, ya, yb, yc, yc, weights, weightStride, values, rowBytes, blockBytes, blockTable, first, last);
}

/** Of four, where V8 fuses. */
export function addValues16Of4<T>(
  ya: usize, yb: usize, yc: usize, yd: usize, weights: usize, weightStride: usize, values: usize, rowBytes: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32,
): void {
  addValues16<T>(4, ya, yb, yc, yd, weights, weightStride, values, rowBytes, blockBytes, blockTable, first, last);
}

/** Of `n` queries, two to four: a constant, so that each number has code of its own. */
@inline
function addValues16<T>(
  n: i32, ya: usize, yb: usize, yc: usize, yd: usize, weights: usize, weightStride: usize, values: usize, rowBytes: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32,
): void {
  let a0 = v128.load(ya), a1 = v128.load(ya, 16), a2 = v128.load(ya, 32), a3 = v128.load(ya, 48);
  let b0 = v128.load(yb), b1 = v128.load(yb, 16), b2 = v128.load(yb, 32), b3 = v128.load(yb, 48);
  let c0 = v128.load(yc), c1 = v128.load(yc, 16), c2 = v128.load(yc, 32), c3 = v128.load(yc, 48);
  let d0 = v128.load(yd), d1 = v128.load(yd, 16), d2 = v128.load(yd, 32), d3 = v128.load(yd, 48);
  let m0 = f32x4.splat(0), m1 = m0;
  for (let block = blockBegin(first); block <= last; block += BLOCK_SIZE) {
    const p = max(block, first);
    let v = inBlockOf(block, values, blockBytes, blockTable) + <usize>(p - block) * rowBytes;
    let wa = weights + (<usize>p << 2), wb = wa + weightStride, wc = wb + weightStride, wd = wc + weightStride;
    const end = weights + (<usize>min(block + BLOCK_SIZE, last + 1) << 2);
    while (wa < end) {
      let v0: v128, v1: v128, v2: v128, v3: v128;
      if (sizeof<T>() == 4) {
        v0 = v128.load(v);
        v1 = v128.load(v, 16);
        v2 = v128.load(v, 32);
        v3 = v128.load(v, 48);
      } else {
        const low = load8<T>(v), high = load8<T>(v + 8 * sizeof<T>());
        v0 = low4<T>(low);
        v1 = high4<T>(low);
        v2 = low4<T>(high);
        v3 = high4<T>(high);
        if (sizeof<T>() == 2) {
          m0 = magnitudes(m0, low);
          m1 = magnitudes(m1, high);
        }
      }
      let s = v128.load_splat<f32>(wa);
      a0 = f32x4.add(a0, f32x4.mul(s, v0));
      a1 = f32x4.add(a1, f32x4.mul(s, v1));
      a2 = f32x4.add(a2, f32x4.mul(s, v2));
      a3 = f32x4.add(a3, f32x4.mul(s, v3));
      s = v128.load_splat<f32>(wb);
      b0 = f32x4.add(b0, f32x4.mul(s, v0));
      b1 = f32x4.add(b1, f32x4.mul(s, v1));
      b2 = f32x4.add(b2, f32x4.mul(s, v2));
      b3 = f32x4.add(b3, f32x4.mul(s, v3));
      if (n > 2) {
        s = v128.load_splat<f32>(wc);
        c0 = f32x4.add(c0, f32x4.mul(s, v0));
        c1 = f32x4.add(c1, f32x4.mul(s, v1));
        c2 = f32x4.add(c2, f32x4.mul(s, v2));
        c3 = f32x4.add(c3, f32x4.mul(s, v3));
        wc += 4;
      }
      if (n > 3) {
        s = v128.load_splat<f32>(wd);
        d0 = f32x4.add(d0, f32x4.mul(s, v0));
        d1 = f32x4.add(d1, f32x4.mul(s, v1));
        d2 = f32x4.add(d2, f32x4.mul(s, v2));
        d3 = f32x4.add(d3, f32x4.mul(s, v3));
        wd += 4;
      }
      wa += 4;
      wb += 4;
      v += rowBytes;
    }
  }
  const t0 = notFiniteLow(m0), t1 = notFiniteHigh(m0), t2 = notFiniteLow(m1), t3 = notFiniteHigh(m1);
  v128.store(ya, summed<T>(a0, t0));
  v128.store(ya, summed<T>(a1, t1), 16);
  v128.store(ya, summed<T>(a2, t2), 32);
  v128.store(ya, summed<T>(a3, t3), 48);
  v128.store(yb, summed<T>(b0, t0));
  v128.store(yb, summed<T>(b1, t1), 16);
  v128.store(yb, summed<T>(b2, t2), 32);
  v128.store(yb, summed<T>(b3, t3), 48);
  if (n > 2) {
    v128.store(yc, summed<T>(c0, t0));
    v128.store(yc, summed<T>(c1, t1), 16);
    v128.store(yc, summed<T>(c2, t2), 32);
    v128.store(yc, summed<T>(c3, t3), 48);
  }
  if (n > 3) {
    v128.store(yd, summed<T>(d0, t0));
    v128.store(yd, summed<T>(d1, t1), 16);
    v128.store(yd, summed<T>(d2, t2), 32);
    v128.store(yd, summed<T>(d3, t3), 48);
  }
}

/** A sum; NaN where a half that went into it was none that is finite. */
@inline
function summed<T>(sum: v128, past: v128): v128 {
  return sizeof<T>() == 2 ? v128.or(sum, past) : sum;
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

/** Of `n` queries, three or four: a constant. */
@inline
function addValues8<T>(
  n: i32, ya: usize, yb: usize, yc: usize, yd: usize, weights: usize, weightStride: usize, values: usize, rowBytes: usize,
  blockBytes: usize, blockTable: usize, first: i32, last: i32,
): void {
  let a0 = v128.load(ya), a1 = v128.load(ya, 16), b0 = v128.load(yb), b1 = v128.load(yb, 16);
  let c0 = v128.load(yc), c1 = v128.load(yc, 16), d0 = v128.load(yd), d1 = v128.load(yd, 16), m = f32x4.splat(0);
  for (let block = blockBegin(first); block <= last; block += BLOCK_SIZE) {
    const p = max(block, first);
    let v = inBlockOf(block, values, blockBytes, blockTable) + <usize>(p - block) * rowBytes;
    let wa = weights + (<usize>p << 2);
    let wb = wa + weightStride, wc = wb + weightStride, wd = wc + weightStride;
    const end = weights + (<usize>min(block + BLOCK_SIZE, last + 1) << 2);
    while (wa < end) {
      let v0: v128, v1: v128;
      if (sizeof<T>() == 4) {
        v0 = v128.load(v);
        v1 = v128.load(v, 16);
      } else {
        const eight = load8<T>(v);
        v0 = low4<T>(eight);
        v1 = high4<T>(eight);
        if (sizeof<T>() == 2) m = magnitudes(m, eight);
      }
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
  const t0 = notFiniteLow(m), t1 = notFiniteHigh(m);
  v128.store(ya, summed<T>(a0, t0));
  v128.store(ya, summed<T>(a1, t1), 16);
  v128.store(yb, summed<T>(b0, t0));
  v128.store(yb, summed<T>(b1, t1), 16);
  v128.store(yc, summed<T>(c0, t0));
  v128.store(yc, summed<T>(c1, t1), 16);
  if (n == 4) {
    v128.store(yd, summed<T>(d0, t0));
    v128.store(yd, summed<T>(d1, t1), 16);
  }
}
