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

/** out[t][s] = the largest of the s-th `STRETCH` values of x[t], the last stretch perhaps shorter; NaN where one is NaN. */
export function stretchMaxima(out: usize, outStride: usize, x: usize, xStride: usize, width: i32, from: i32, to: i32): void {
  for (let t = from; t < to; t++) {
    let xp = x + <usize>t * xStride, y = out + <usize>t * outStride;
    for (let first = 0; first < width; first += STRETCH) {
      let left = min(STRETCH, width - first);
      let a = f32x4.splat(-Infinity), b = a;
      for (; left >= 8; left -= 8) {
        a = f32x4.max(a, v128.load(xp));
        b = f32x4.max(b, v128.load(xp, 16));
        xp += 32;
      }
      a = f32x4.max(a, b);
      let largest = max(
        max(f32x4.extract_lane(a, 0), f32x4.extract_lane(a, 1)), max(f32x4.extract_lane(a, 2), f32x4.extract_lane(a, 3)),
      );
      for (; left > 0; left--) {
        largest = max(largest, f32.load(xp));
        xp += 4;
      }
      f32.store(y, largest);
      y += 4;
    }
  }
}
