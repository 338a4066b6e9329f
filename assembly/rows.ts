// Operations that look rows up, add them, or search them, of rows `from … to − 1`. Strides are in bytes.

import { STRETCH } from "./generated/constants";

/** x += y, `bytes` of floats, two vectors at a time: V8 makes one of 256 bits of them. */
export function addRow(x: usize, y: usize, bytes: usize): void {
  const end = x + bytes;
  for (const pairs = x + (bytes & ~31); x < pairs; x += 32) {
    const a = f32x4.add(v128.load(x), v128.load(y)), b = f32x4.add(v128.load(x, 16), v128.load(y, 16));
    v128.store(x, a);
    v128.store(x, b, 16);
    y += 32;
  }
  for (; x < end; x += 4) {
    f32.store(x, f32.load(x) + f32.load(y));
    y += 4;
  }
}

/** x[t] += table[indices[t]]. */
export function addRowsAt(x: usize, xStride: usize, indices: usize, table: usize, tableStride: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    const index = <usize>load<i32>(indices + (<usize>t << 2));
    addRow(x + <usize>t * xStride, table + index * tableStride, <usize>width << 2);
  }
}

/** out[t] = x[indices[t]]. */
export function gatherRows(out: usize, outStride: usize, x: usize, xStride: usize, indices: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    const index = <usize>load<i32>(indices + (<usize>t << 2));
    memory.copy(out + <usize>t * outStride, x + index * xStride, <usize>width << 2);
  }
}

/** x[t] += y[t]. */
export function add(x: usize, xStride: usize, y: usize, yStride: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) addRow(x + <usize>t * xStride, y + <usize>t * yStride, <usize>width << 2);
}

/**
 * out[t][s] = the largest of the s-th `STRETCH` values of x[t], the last stretch perhaps shorter; NaN where one is NaN. An item is a
 * stretch, of the first row, then of the next: one row alone is cut, too.
 */
export function stretchMaxima(out: usize, outStride: usize, x: usize, xStride: usize, width: i32, from: i32, to: i32): void {
  const stretches = (width + STRETCH - 1) / STRETCH;
  for (let i = from; i < to; i++) {
    const t = i / stretches, s = i - t * stretches;
    const p = x + <usize>t * xStride + (<usize>(s * STRETCH) << 2), count = min(STRETCH, width - s * STRETCH);
    f32.store(out + <usize>t * outStride + (<usize>s << 2), count == STRETCH ? largestOfStretch(p) : largestOf(p, count));
  }
}

/**
 * The largest of a whole stretch. What `max` takes for a NaN and for the order of zeros is not taken at each step: where either
 * could matter all is looked at once more.
 */
@inline
function largestOfStretch(x: usize): f32 {
  const end = x + 4 * STRETCH;
  let a = v128.load(x), b = v128.load(x, 16);
  let sound = v128.and(f32x4.eq(a, a), f32x4.eq(b, b));
  for (let p = x + 32; p < end; p += 32) {
    const u = v128.load(p), v = v128.load(p, 16);
    // pmax gives its first operand unless the second is greater.
    a = f32x4.pmax(a, u);
    b = f32x4.pmax(b, v);
    sound = v128.and(sound, v128.and(f32x4.eq(u, u), f32x4.eq(v, v)));
  }
  a = f32x4.pmax(a, b);
  const largest = max(max(f32x4.extract_lane(a, 0), f32x4.extract_lane(a, 1)), max(f32x4.extract_lane(a, 2), f32x4.extract_lane(a, 3)));
  return i32x4.all_true(sound) && largest != 0 ? largest : largestOf(x, STRETCH);
}

/** The largest of `count` values. */
function largestOf(x: usize, count: i32): f32 {
  let largest: f32 = -Infinity;
  for (const end = x + (<usize>count << 2); x < end; x += 4) largest = max(largest, f32.load(x));
  return largest;
}
