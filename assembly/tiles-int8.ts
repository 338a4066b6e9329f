// The innermost loops of products over int8 weights: some rows by a panel of 16 columns (int8-panels.ts), as it lies in memory or
// with its bytes widened to 16 bits.
//
// A group of 64 inputs is one sum of integers, exact in 32 bits in any order. Lower bytes, unsigned, are 1 … 255, so nothing on the
// way is beyond (32 · 255 + 32 · 127 + 32 · 128) · ACTIVATION_MAX < 2²⁸. The sum becomes f32 once and is scaled; groups are
// added in the order 0, 1, 2 … from zero.

import { INT8_GROUP } from "./generated/constants";
import {
  INT8_FOUR_BYTES, INT8_GROUP_BYTES, INT8_SCALE_BYTES, ROW_GROUP_BYTES, ROW_SCALE_BYTES,
} from "./int8-panels";

/** Lower bytes of lanes of 16 bits: in memory, because V8 makes a constant anew wherever it is used. */
const LOWER_BYTES = memory.data<u32>([0x00ff00ff]);

/** Bytes of a tile's results of a row. */
export const SUMS_BYTES: usize = 64;
/** Bytes of two inputs of a panel that was widened, a row's pairs one after the other: 16 columns of what the lanes above hold. */
export const WIDENED_PAIR_BYTES: usize = 64;

/** `acc` with the products of four columns for two inputs. */
@inline
function dot(acc: v128, w: v128, x: v128): v128 {
  return i32x4.add(acc, i32x4.dot_i16x8_s(w, x));
}

/** sum ⊕ (fround(S) ⊗ (scale ⊗ row's scale)) */
@inline
export function next(sum: v128, integers: v128, scale: v128, rowScale: v128): v128 {
  return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(integers), f32x4.mul(scale, rowScale)));
}

/**
 * So many rows, 2 to 5, by a panel's groups, from the first one at `panel` on. `rows` is a constant where this is inlined: what is
 * beyond it is not compiled. Each row's 16 results go to `sums`, side by side.
 * @param widens a constant, too: whether the sums go on with those at `sums`, and the panel's integers are left at `widened`
 * @param scalesAt where in a row its scales and starts begin
 */
@inline
function tile(
  rows: i32, widens: bool, x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize, widened: usize,
): void {
  if (!widens) {
    const zero = f32x4.splat(0);
    for (let r: usize = 0; r < <usize>rows; r++) store(sums + r * SUMS_BYTES, zero, zero, zero, zero);
  }
  let xa = x, xb = xa + xStride, xc = xb + xStride, xd = xc + xStride, xe = xd + xStride;
  const mask = v128.load_splat<u32>(LOWER_BYTES);
  let w = panel, s = x + scalesAt;
  for (let g = 0; g < groups; g++) {
    const scales = w;
    w += INT8_SCALE_BYTES;
    let p = s;
    let ia0 = v128.load_splat<i32>(p, 4), ia1 = ia0, ia2 = ia0, ia3 = ia0;
    let ib0 = ia0, ib1 = ia0, ib2 = ia0, ib3 = ia0, ic0 = ia0, ic1 = ia0, ic2 = ia0, ic3 = ia0;
    let id0 = ia0, id1 = ia0, id2 = ia0, id3 = ia0, ie0 = ia0, ie1 = ia0, ie2 = ia0, ie3 = ia0;
    if (rows > 1) {
      p += xStride;
      ib0 = v128.load_splat<i32>(p, 4);
      ib1 = ib0; ib2 = ib0; ib3 = ib0;
    }
    if (rows > 2) {
      p += xStride;
      ic0 = v128.load_splat<i32>(p, 4);
      ic1 = ic0; ic2 = ic0; ic3 = ic0;
    }
    if (rows > 3) {
      p += xStride;
      id0 = v128.load_splat<i32>(p, 4);
      id1 = id0; id2 = id0; id3 = id0;
    }
    if (rows > 4) {
      p += xStride;
      ie0 = v128.load_splat<i32>(p, 4);
      ie1 = ie0; ie2 = ie0; ie3 = ie0;
    }
    for (const end = w + (INT8_GROUP_BYTES - INT8_SCALE_BYTES); w < end; w += INT8_FOUR_BYTES) {
      const w0 = v128.load(w), w1 = v128.load(w, 16), w2 = v128.load(w, 32), w3 = v128.load(w, 48);
      const l0 = v128.and(w0, mask), l1 = v128.and(w1, mask), l2 = v128.and(w2, mask), l3 = v128.and(w3, mask);
      let v = v128.load_splat<i32>(xa);
      ia0 = dot(ia0, l0, v); ia1 = dot(ia1, l1, v); ia2 = dot(ia2, l2, v); ia3 = dot(ia3, l3, v);
      if (rows > 1) {
        v = v128.load_splat<i32>(xb);
        ib0 = dot(ib0, l0, v); ib1 = dot(ib1, l1, v); ib2 = dot(ib2, l2, v); ib3 = dot(ib3, l3, v);
      }
      if (rows > 2) {
        v = v128.load_splat<i32>(xc);
        ic0 = dot(ic0, l0, v); ic1 = dot(ic1, l1, v); ic2 = dot(ic2, l2, v); ic3 = dot(ic3, l3, v);
      }
      if (rows > 3) {
        v = v128.load_splat<i32>(xd);
        id0 = dot(id0, l0, v); id1 = dot(id1, l1, v); id2 = dot(id2, l2, v); id3 = dot(id3, l3, v);
      }
      if (rows > 4) {
        v = v128.load_splat<i32>(xe);
        ie0 = dot(ie0, l0, v); ie1 = dot(ie1, l1, v); ie2 = dot(ie2, l2, v); ie3 = dot(ie3, l3, v);
      }
      const h0 = i16x8.shr_s(w0, 8), h1 = i16x8.shr_s(w1, 8), h2 = i16x8.shr_s(w2, 8), h3 = i16x8.shr_s(w3, 8);
      v = v128.load_splat<i32>(xa, 4);
      ia0 = dot(ia0, h0, v); ia1 = dot(ia1, h1, v); ia2 = dot(ia2, h2, v); ia3 = dot(ia3, h3, v);
      if (rows > 1) {
        v = v128.load_splat<i32>(xb, 4);
        ib0 = dot(ib0, h0, v); ib1 = dot(ib1, h1, v); ib2 = dot(ib2, h2, v); ib3 = dot(ib3, h3, v);
      }
      if (rows > 2) {
        v = v128.load_splat<i32>(xc, 4);
        ic0 = dot(ic0, h0, v); ic1 = dot(ic1, h1, v); ic2 = dot(ic2, h2, v); ic3 = dot(ic3, h3, v);
      }
      if (rows > 3) {
        v = v128.load_splat<i32>(xd, 4);
        id0 = dot(id0, h0, v); id1 = dot(id1, h1, v); id2 = dot(id2, h2, v); id3 = dot(id3, h3, v);
      }
      if (rows > 4) {
        v = v128.load_splat<i32>(xe, 4);
        ie0 = dot(ie0, h0, v); ie1 = dot(ie1, h1, v); ie2 = dot(ie2, h2, v); ie3 = dot(ie3, h3, v);
      }
      if (widens) {
        store(widened, l0, l1, l2, l3);
        store(widened + WIDENED_PAIR_BYTES, h0, h1, h2, h3);
        widened += 2 * WIDENED_PAIR_BYTES;
      }
      xa += 8;
      xb += 8;
      xc += 8;
      xd += 8;
      xe += 8;
    }
    p = s;
    goOn(sums, scales, p, ia0, ia1, ia2, ia3);
    if (rows > 1) {
      p += xStride;
      goOn(sums + SUMS_BYTES, scales, p, ib0, ib1, ib2, ib3);
    }
    if (rows > 2) {
      p += xStride;
      goOn(sums + 2 * SUMS_BYTES, scales, p, ic0, ic1, ic2, ic3);
    }
    if (rows > 3) {
      p += xStride;
      goOn(sums + 3 * SUMS_BYTES, scales, p, id0, id1, id2, id3);
    }
    if (rows > 4) {
      p += xStride;
      goOn(sums + 4 * SUMS_BYTES, scales, p, ie0, ie1, ie2, ie3);
    }
    s += ROW_SCALE_BYTES;
  }
}

/**
 * A row's sums with those of a group. They are in memory all the time: in registers they would leave too few for the loop over a
 * group. @param scales the panel's @param rowScale where the row's is
 */
@inline
function goOn(sums: usize, scales: usize, rowScale: usize, i0: v128, i1: v128, i2: v128, i3: v128): void {
  const t = v128.load_splat<f32>(rowScale);
  const s0 = next(v128.load(sums), i0, v128.load(scales), t), s1 = next(v128.load(sums, 16), i1, v128.load(scales, 16), t);
  const s2 = next(v128.load(sums, 32), i2, v128.load(scales, 32), t), s3 = next(v128.load(sums, 48), i3, v128.load(scales, 48), t);
  store(sums, s0, s1, s2, s3);
}

@inline
export function store(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(to, a);
  v128.store(to, b, 16);
  v128.store(to, c, 32);
  v128.store(to, d, 48);
}

/**
 * One row or two by groups that were widened: goes on with the results at `sums`. `rows` is a constant where this is inlined.
 * @param s where the first row has the first group's scale @param scales where the panel has that group's
 */
@inline
function widenedTile(
  rows: i32, x: usize, xStride: usize, s: usize, widened: usize, scales: usize, groups: i32, sums: usize,
): void {
  let xa = x, xb = x + xStride, w = widened;
  for (let g = 0; g < groups; g++) {
    let ia0 = v128.load_splat<i32>(s, 4), ia1 = ia0, ia2 = ia0, ia3 = ia0, ib0 = ia0, ib1 = ia0, ib2 = ia0, ib3 = ia0;
    if (rows > 1) {
      ib0 = v128.load_splat<i32>(s + xStride, 4);
      ib1 = ib0; ib2 = ib0; ib3 = ib0;
    }
    for (const end = w + <usize>(INT8_GROUP / 2) * WIDENED_PAIR_BYTES; w < end; w += WIDENED_PAIR_BYTES) {
      const w0 = v128.load(w), w1 = v128.load(w, 16), w2 = v128.load(w, 32), w3 = v128.load(w, 48);
      let v = v128.load_splat<i32>(xa);
      ia0 = dot(ia0, w0, v); ia1 = dot(ia1, w1, v); ia2 = dot(ia2, w2, v); ia3 = dot(ia3, w3, v);
      xa += 4;
      if (rows > 1) {
        v = v128.load_splat<i32>(xb);
        ib0 = dot(ib0, w0, v); ib1 = dot(ib1, w1, v); ib2 = dot(ib2, w2, v); ib3 = dot(ib3, w3, v);
        xb += 4;
      }
    }
    goOn(sums, scales, s, ia0, ia1, ia2, ia3);
    if (rows > 1) goOn(sums + SUMS_BYTES, scales, s + xStride, ib0, ib1, ib2, ib3);
    scales += INT8_GROUP_BYTES;
    s += ROW_SCALE_BYTES;
  }
}

// Exported from the module, as those of tiles.ts are, so that they are not inlined, and fused one by one.

/** One row: its sums stay in registers, where they have room, because memory is then read faster. */
export function int8Tile1(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
  const mask = v128.load_splat<u32>(LOWER_BYTES);
  let xp = x, w = panel, s = x + scalesAt;
  for (let g = 0; g < groups; g++) {
    const scales = w;
    w += INT8_SCALE_BYTES;
    let i0 = v128.load_splat<i32>(s, 4), i1 = i0, i2 = i0, i3 = i0;
    for (const end = w + (INT8_GROUP_BYTES - INT8_SCALE_BYTES); w < end; w += INT8_FOUR_BYTES) {
      const w0 = v128.load(w), w1 = v128.load(w, 16), w2 = v128.load(w, 32), w3 = v128.load(w, 48);
      let v = v128.load_splat<i32>(xp);
      i0 = dot(i0, v128.and(w0, mask), v); i1 = dot(i1, v128.and(w1, mask), v);
      i2 = dot(i2, v128.and(w2, mask), v); i3 = dot(i3, v128.and(w3, mask), v);
      v = v128.load_splat<i32>(xp, 4);
      i0 = dot(i0, i16x8.shr_s(w0, 8), v); i1 = dot(i1, i16x8.shr_s(w1, 8), v);
      i2 = dot(i2, i16x8.shr_s(w2, 8), v); i3 = dot(i3, i16x8.shr_s(w3, 8), v);
      xp += 8;
    }
    const t = v128.load_splat<f32>(s);
    a0 = next(a0, i0, v128.load(scales), t); a1 = next(a1, i1, v128.load(scales, 16), t);
    a2 = next(a2, i2, v128.load(scales, 32), t); a3 = next(a3, i3, v128.load(scales, 48), t);
    s += ROW_SCALE_BYTES;
  }
  store(sums, a0, a1, a2, a3);
}

export function int8Tile2(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(2, false, x, xStride, scalesAt, panel, groups, sums, 0);
}

export function int8Tile3(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(3, false, x, xStride, scalesAt, panel, groups, sums, 0);
}

export function int8Tile4(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(4, false, x, xStride, scalesAt, panel, groups, sums, 0);
}

export function int8Tile5(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(5, false, x, xStride, scalesAt, panel, groups, sums, 0);
}

/** Two rows, the first ones of many by these groups. */
export function int8Widening2(
  x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize, widened: usize,
): void {
  tile(2, true, x, xStride, scalesAt, panel, groups, sums, widened);
}

export function int8Widened1(x: usize, xStride: usize, s: usize, widened: usize, scales: usize, groups: i32, sums: usize): void {
  widenedTile(1, x, xStride, s, widened, scales, groups, sums);
}

export function int8Widened2(x: usize, xStride: usize, s: usize, widened: usize, scales: usize, groups: i32, sums: usize): void {
  widenedTile(2, x, xStride, s, widened, scales, groups, sums);
}
