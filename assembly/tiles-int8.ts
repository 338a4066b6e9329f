// The innermost loops of products over int8 weights with strict dot products: some rows by a panel of 16 columns
// (int8-panels.ts), all of them together or in two halves.
//
// A group of 64 inputs is one sum of integers, exact in 32 bits in any order: at most 64 · 127 · ACTIVATION_MAX < 2²⁷. The sum
// becomes f32 once and is scaled; groups are added in the order 0, 1, 2 … from zero.

import { INT8_GROUP_BYTES, INT8_PAIR_BYTES, INT8_SCALE_BYTES, ROW_GROUP_BYTES, ROW_SCALE_BYTES } from "./int8-panels";

/** Bytes of a tile's results of a row. */
export const SUMS_BYTES: usize = 64;

/** `acc` with the products of four columns for two inputs. */
@inline
function dot(acc: v128, w: v128, x: v128): v128 {
  return i32x4.add(acc, i32x4.dot_i16x8_s(w, x));
}

/** sum ⊕ (fround(S) ⊗ (scale ⊗ row's scale)) */
@inline
function next(sum: v128, integers: v128, scale: v128, rowScale: v128): v128 {
  return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(integers), f32x4.mul(scale, rowScale)));
}

@inline
export function store(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(to, a);
  v128.store(to, b, 16);
  v128.store(to, c, 32);
  v128.store(to, d, 48);
}

/**
 * So many rows, 2 to 4, by a panel. `wide` and `rows` are constants where this is inlined: what is beyond them is not compiled. Each
 * row's results go to `sums`, side by side. @param wide whether all columns of a group are taken together, or eight and then eight;
 * not of a panel, because memory would be read only while the first are taken @param scalesAt where in a row its scales begin
 */
@inline
function tile(
  wide: bool, rows: i32, x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize,
): void {
  const zero = i32x4.splat(0);
  for (let r: usize = 0; r < <usize>rows; r++) store(sums + r * SUMS_BYTES, zero, zero, zero, zero);
  let xp = x, s = x + scalesAt, group = panel;
  for (let g = 0; g < groups; g++) {
    const w = group + INT8_SCALE_BYTES;
    byGroup(wide, rows, xp, xStride, s, group, w, sums);
    if (!wide) byGroup(wide, rows, xp, xStride, s, group + 32, w + 16, sums + 32);
    xp += ROW_GROUP_BYTES;
    s += ROW_SCALE_BYTES;
    group += INT8_GROUP_BYTES;
  }
}

/**
 * Rows by a group: the results at `sums` go on. Three and four go through four pairs of inputs before the loop goes on, each in a block
 * of its own, for the reasons that tiles-deep.ts gives; two are slower so at 128 bits.
 * @param s where the first row's scale is @param scales the columns' @param w their bytes
 */
@inline
function byGroup(
  wide: bool, rows: i32, x: usize, xStride: usize, s: usize, scales: usize, w: usize, sums: usize,
): void {
  const zero = i32x4.splat(0);
  let ia0 = zero, ia1 = zero, ia2 = zero, ia3 = zero, ib0 = zero, ib1 = zero, ib2 = zero, ib3 = zero;
  let ic0 = zero, ic1 = zero, ic2 = zero, ic3 = zero, id0 = zero, id1 = zero, id2 = zero, id3 = zero;
  let xa = x, xb = xa + xStride, xc = xb + xStride, xd = xc + xStride, p = w;
  const end = p + (INT8_GROUP_BYTES - INT8_SCALE_BYTES);
  while (p < end) {
    let w0 = v128.load_ext<i8>(p), w1 = v128.load_ext<i8>(p, 8);
    let w2 = wide ? v128.load_ext<i8>(p, 16) : w0, w3 = wide ? v128.load_ext<i8>(p, 24) : w0;
    let v = v128.load_splat<i32>(xa);
    ia0 = dot(ia0, w0, v); ia1 = dot(ia1, w1, v);
    if (wide) { ia2 = dot(ia2, w2, v); ia3 = dot(ia3, w3, v); }
    v = v128.load_splat<i32>(xb);
    ib0 = dot(ib0, w0, v); ib1 = dot(ib1, w1, v);
    if (wide) { ib2 = dot(ib2, w2, v); ib3 = dot(ib3, w3, v); }
    if (rows > 2) {
      v = v128.load_splat<i32>(xc);
      ic0 = dot(ic0, w0, v); ic1 = dot(ic1, w1, v);
      if (wide) { ic2 = dot(ic2, w2, v); ic3 = dot(ic3, w3, v); }
    }
    if (rows > 3) {
      v = v128.load_splat<i32>(xd);
      id0 = dot(id0, w0, v); id1 = dot(id1, w1, v);
      if (wide) { id2 = dot(id2, w2, v); id3 = dot(id3, w3, v); }
    }
    if (rows == 2) {
      p += INT8_PAIR_BYTES;
      xa += 4;
      xb += 4;
      continue;
    }
    if (p + INT8_PAIR_BYTES >= end) break;
    w0 = v128.load_ext<i8>(p, INT8_PAIR_BYTES), w1 = v128.load_ext<i8>(p, INT8_PAIR_BYTES + 8);
    w2 = wide ? v128.load_ext<i8>(p, INT8_PAIR_BYTES + 16) : w0, w3 = wide ? v128.load_ext<i8>(p, INT8_PAIR_BYTES + 24) : w0;
    v = v128.load_splat<i32>(xa, 4);
    ia0 = dot(ia0, w0, v); ia1 = dot(ia1, w1, v);
    if (wide) { ia2 = dot(ia2, w2, v); ia3 = dot(ia3, w3, v); }
    v = v128.load_splat<i32>(xb, 4);
    ib0 = dot(ib0, w0, v); ib1 = dot(ib1, w1, v);
    if (wide) { ib2 = dot(ib2, w2, v); ib3 = dot(ib3, w3, v); }
    v = v128.load_splat<i32>(xc, 4);
    ic0 = dot(ic0, w0, v); ic1 = dot(ic1, w1, v);
    if (wide) { ic2 = dot(ic2, w2, v); ic3 = dot(ic3, w3, v); }
    if (rows > 3) {
      v = v128.load_splat<i32>(xd, 4);
      id0 = dot(id0, w0, v); id1 = dot(id1, w1, v);
      if (wide) { id2 = dot(id2, w2, v); id3 = dot(id3, w3, v); }
    }
    if (p + 2 * INT8_PAIR_BYTES >= end) break;
    w0 = v128.load_ext<i8>(p, 2 * INT8_PAIR_BYTES), w1 = v128.load_ext<i8>(p, 2 * INT8_PAIR_BYTES + 8);
    w2 = wide ? v128.load_ext<i8>(p, 2 * INT8_PAIR_BYTES + 16) : w0, w3 = wide ? v128.load_ext<i8>(p, 2 * INT8_PAIR_BYTES + 24) : w0;
    v = v128.load_splat<i32>(xa, 8);
    ia0 = dot(ia0, w0, v); ia1 = dot(ia1, w1, v);
    if (wide) { ia2 = dot(ia2, w2, v); ia3 = dot(ia3, w3, v); }
    v = v128.load_splat<i32>(xb, 8);
    ib0 = dot(ib0, w0, v); ib1 = dot(ib1, w1, v);
    if (wide) { ib2 = dot(ib2, w2, v); ib3 = dot(ib3, w3, v); }
    v = v128.load_splat<i32>(xc, 8);
    ic0 = dot(ic0, w0, v); ic1 = dot(ic1, w1, v);
    if (wide) { ic2 = dot(ic2, w2, v); ic3 = dot(ic3, w3, v); }
    if (rows > 3) {
      v = v128.load_splat<i32>(xd, 8);
      id0 = dot(id0, w0, v); id1 = dot(id1, w1, v);
      if (wide) { id2 = dot(id2, w2, v); id3 = dot(id3, w3, v); }
    }
    if (p + 3 * INT8_PAIR_BYTES >= end) break;
    w0 = v128.load_ext<i8>(p, 3 * INT8_PAIR_BYTES), w1 = v128.load_ext<i8>(p, 3 * INT8_PAIR_BYTES + 8);
    w2 = wide ? v128.load_ext<i8>(p, 3 * INT8_PAIR_BYTES + 16) : w0, w3 = wide ? v128.load_ext<i8>(p, 3 * INT8_PAIR_BYTES + 24) : w0;
    v = v128.load_splat<i32>(xa, 12);
    ia0 = dot(ia0, w0, v); ia1 = dot(ia1, w1, v);
    if (wide) { ia2 = dot(ia2, w2, v); ia3 = dot(ia3, w3, v); }
    v = v128.load_splat<i32>(xb, 12);
    ib0 = dot(ib0, w0, v); ib1 = dot(ib1, w1, v);
    if (wide) { ib2 = dot(ib2, w2, v); ib3 = dot(ib3, w3, v); }
    v = v128.load_splat<i32>(xc, 12);
    ic0 = dot(ic0, w0, v); ic1 = dot(ic1, w1, v);
    if (wide) { ic2 = dot(ic2, w2, v); ic3 = dot(ic3, w3, v); }
    if (rows > 3) {
      v = v128.load_splat<i32>(xd, 12);
      id0 = dot(id0, w0, v); id1 = dot(id1, w1, v);
      if (wide) { id2 = dot(id2, w2, v); id3 = dot(id3, w3, v); }
    }
    p += 4 * INT8_PAIR_BYTES;
    xa += 16;
    xb += 16;
    xc += 16;
    xd += 16;
  }
  goOn(wide, sums, scales, s, ia0, ia1, ia2, ia3);
  let t = s + xStride;
  goOn(wide, sums + SUMS_BYTES, scales, t, ib0, ib1, ib2, ib3);
  if (rows > 2) {
    t += xStride;
    goOn(wide, sums + 2 * SUMS_BYTES, scales, t, ic0, ic1, ic2, ic3);
  }
  if (rows > 3) {
    t += xStride;
    goOn(wide, sums + 3 * SUMS_BYTES, scales, t, id0, id1, id2, id3);
  }
}

/**
 * A row's sums with those of a group. They are in memory all the time: in registers they would leave too few for the loop over a
 * group. @param scales the panel's @param rowScale where the row's is
 */
@inline
export function goOn(wide: bool, sums: usize, scales: usize, rowScale: usize, i0: v128, i1: v128, i2: v128, i3: v128): void {
  const t = v128.load_splat<f32>(rowScale);
  const s0 = next(v128.load(sums), i0, v128.load(scales), t), s1 = next(v128.load(sums, 16), i1, v128.load(scales, 16), t);
  if (wide) {
    const s2 = next(v128.load(sums, 32), i2, v128.load(scales, 32), t), s3 = next(v128.load(sums, 48), i3, v128.load(scales, 48), t);
    store(sums, s0, s1, s2, s3);
  } else {
    v128.store(sums, s0);
    v128.store(sums, s1, 16);
  }
}

// Exported from the module, as those of tiles.ts are, so that they are not inlined, and fused one by one.

/** One row: its sums stay in registers, where they have room, because memory is then read faster. */
export function int8Tile1(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  const zero = i32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  let xp = x, w = panel, s = x + scalesAt;
  for (let g = 0; g < groups; g++) {
    const scales = w;
    w += INT8_SCALE_BYTES;
    let i0 = zero, i1 = zero, i2 = zero, i3 = zero;
    for (const end = w + (INT8_GROUP_BYTES - INT8_SCALE_BYTES); w < end; w += INT8_PAIR_BYTES) {
      const v = v128.load_splat<i32>(xp);
      i0 = dot(i0, v128.load_ext<i8>(w), v); i1 = dot(i1, v128.load_ext<i8>(w, 8), v);
      i2 = dot(i2, v128.load_ext<i8>(w, 16), v); i3 = dot(i3, v128.load_ext<i8>(w, 24), v);
      xp += 4;
    }
    const t = v128.load_splat<f32>(s);
    a0 = next(a0, i0, v128.load(scales), t); a1 = next(a1, i1, v128.load(scales, 16), t);
    a2 = next(a2, i2, v128.load(scales, 32), t); a3 = next(a3, i3, v128.load(scales, 48), t);
    s += ROW_SCALE_BYTES;
  }
  store(sums, a0, a1, a2, a3);
}

/** `int8Tile1` by four panels, so many bytes apart: as many streams of memory. Each panel's results go to `sums`, side by side. */
export function int8Far4(x: usize, scalesAt: usize, panel: usize, apart: usize, groups: i32, sums: usize): void {
  const zero = i32x4.splat(0);
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  let c0 = zero, c1 = zero, c2 = zero, c3 = zero, d0 = zero, d1 = zero, d2 = zero, d3 = zero;
  let xp = x, wa = panel, wb = wa + apart, wc = wb + apart, wd = wc + apart, s = x + scalesAt;
  for (let g = 0; g < groups; g++) {
    const sa = wa, sb = wb, sc = wc, sd = wd;
    wa += INT8_SCALE_BYTES;
    wb += INT8_SCALE_BYTES;
    wc += INT8_SCALE_BYTES;
    wd += INT8_SCALE_BYTES;
    let ia0 = zero, ia1 = zero, ia2 = zero, ia3 = zero, ib0 = zero, ib1 = zero, ib2 = zero, ib3 = zero;
    let ic0 = zero, ic1 = zero, ic2 = zero, ic3 = zero, id0 = zero, id1 = zero, id2 = zero, id3 = zero;
    for (const end = wa + (INT8_GROUP_BYTES - INT8_SCALE_BYTES); wa < end; wa += INT8_PAIR_BYTES) {
      const v = v128.load_splat<i32>(xp);
      ia0 = dot(ia0, v128.load_ext<i8>(wa), v); ia1 = dot(ia1, v128.load_ext<i8>(wa, 8), v);
      ia2 = dot(ia2, v128.load_ext<i8>(wa, 16), v); ia3 = dot(ia3, v128.load_ext<i8>(wa, 24), v);
      ib0 = dot(ib0, v128.load_ext<i8>(wb), v); ib1 = dot(ib1, v128.load_ext<i8>(wb, 8), v);
      ib2 = dot(ib2, v128.load_ext<i8>(wb, 16), v); ib3 = dot(ib3, v128.load_ext<i8>(wb, 24), v);
      ic0 = dot(ic0, v128.load_ext<i8>(wc), v); ic1 = dot(ic1, v128.load_ext<i8>(wc, 8), v);
      ic2 = dot(ic2, v128.load_ext<i8>(wc, 16), v); ic3 = dot(ic3, v128.load_ext<i8>(wc, 24), v);
      id0 = dot(id0, v128.load_ext<i8>(wd), v); id1 = dot(id1, v128.load_ext<i8>(wd, 8), v);
      id2 = dot(id2, v128.load_ext<i8>(wd, 16), v); id3 = dot(id3, v128.load_ext<i8>(wd, 24), v);
      wb += INT8_PAIR_BYTES;
      wc += INT8_PAIR_BYTES;
      wd += INT8_PAIR_BYTES;
      xp += 4;
    }
    const t = v128.load_splat<f32>(s);
    a0 = next(a0, ia0, v128.load(sa), t); a1 = next(a1, ia1, v128.load(sa, 16), t);
    a2 = next(a2, ia2, v128.load(sa, 32), t); a3 = next(a3, ia3, v128.load(sa, 48), t);
    b0 = next(b0, ib0, v128.load(sb), t); b1 = next(b1, ib1, v128.load(sb, 16), t);
    b2 = next(b2, ib2, v128.load(sb, 32), t); b3 = next(b3, ib3, v128.load(sb, 48), t);
    c0 = next(c0, ic0, v128.load(sc), t); c1 = next(c1, ic1, v128.load(sc, 16), t);
    c2 = next(c2, ic2, v128.load(sc, 32), t); c3 = next(c3, ic3, v128.load(sc, 48), t);
    d0 = next(d0, id0, v128.load(sd), t); d1 = next(d1, id1, v128.load(sd, 16), t);
    d2 = next(d2, id2, v128.load(sd, 32), t); d3 = next(d3, id3, v128.load(sd, 48), t);
    s += ROW_SCALE_BYTES;
  }
  store(sums, a0, a1, a2, a3);
  store(sums + SUMS_BYTES, b0, b1, b2, b3);
  store(sums + 2 * SUMS_BYTES, c0, c1, c2, c3);
  store(sums + 3 * SUMS_BYTES, d0, d1, d2, d3);
}

export function int8Tile2(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(true, 2, x, xStride, scalesAt, panel, groups, sums);
}

export function int8Tile3(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(true, 3, x, xStride, scalesAt, panel, groups, sums);
}

export function int8Tile4(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(true, 4, x, xStride, scalesAt, panel, groups, sums);
}

export function int8Half3(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(false, 3, x, xStride, scalesAt, panel, groups, sums);
}

export function int8Half4(x: usize, xStride: usize, scalesAt: usize, panel: usize, groups: i32, sums: usize): void {
  tile(false, 4, x, xStride, scalesAt, panel, groups, sums);
}
