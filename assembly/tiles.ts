// The innermost loops of matrix products over floats: some rows by some columns of a panel (panels.ts), one k after the
// other. Weights of 16 bits are widened on their way to the registers.

import { FORM_BF16, FORM_F16, FORM_F32, PANEL_COLUMNS } from "./generated/constants";
import { halfBits, halfFactor, widenHigh, widenLow } from "./half";
import { storeLanes } from "./lanes";
import { rowBytes } from "./panels";

/** Ends the sums of one row in one panel: adds the bias and stores the columns that exist. */
@inline
export function finish(y: usize, bias: usize, n: i32, count: i32, low: v128, high: v128): void {
  let a = low, b = high;
  if (bias != 0) {
    const at = bias + (<usize>n << 2);
    a = f32x4.add(a, v128.load(at));
    b = f32x4.add(b, v128.load(at, 16));
  }
  const p = y + (<usize>n << 2);
  if (count >= PANEL_COLUMNS) {
    v128.store(p, a);
    v128.store(p, b, 16);
  } else {
    storeLanes(p, a, count);
    if (count > 4) storeLanes(p + 16, b, count - 4);
  }
}

/**
 * So many rows, 2 to 5, by 8 full columns of a panel, without the bias. Each row has two running sums; those of five rows,
 * the weights and an input fill the registers that V8 has. Six rows would spill; four leave multipliers idle. `rows` and
 * `form` are constants where this is inlined: what is beyond them is not compiled. The bias comes afterwards, because sums
 * that wait for a branch are spilled by V8 (Node 20), and already inside the loop.
 */
@inline
function tile(
  rows: i32, form: i32, x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32,
): void {
  const factor = halfFactor(), bits = halfBits();
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0, e0 = a0, e1 = a0;
  let xa = x, xb = x + xStride, xc = xb + xStride, xd = xc + xStride, xe = xd + xStride;
  let w = panel;
  const end = w + <usize>inFeatures * rowBytes(form);
  while (w < end) {
    let w0: v128, w1: v128;
    if (form == FORM_F32) {
      w0 = v128.load(w);
      w1 = v128.load(w, 16);
    } else {
      const values = v128.load(w);
      w0 = widenLow(values, form, factor, bits);
      w1 = widenHigh(values, form, factor, bits);
    }
    let s = v128.load_splat<f32>(xa);
    a0 = f32x4.add(a0, f32x4.mul(s, w0));
    a1 = f32x4.add(a1, f32x4.mul(s, w1));
    s = v128.load_splat<f32>(xb);
    b0 = f32x4.add(b0, f32x4.mul(s, w0));
    b1 = f32x4.add(b1, f32x4.mul(s, w1));
    if (rows > 2) {
      s = v128.load_splat<f32>(xc);
      c0 = f32x4.add(c0, f32x4.mul(s, w0));
      c1 = f32x4.add(c1, f32x4.mul(s, w1));
      xc += 4;
    }
    if (rows > 3) {
      s = v128.load_splat<f32>(xd);
      d0 = f32x4.add(d0, f32x4.mul(s, w0));
      d1 = f32x4.add(d1, f32x4.mul(s, w1));
      xd += 4;
    }
    if (rows > 4) {
      s = v128.load_splat<f32>(xe);
      e0 = f32x4.add(e0, f32x4.mul(s, w0));
      e1 = f32x4.add(e1, f32x4.mul(s, w1));
      xe += 4;
    }
    w += rowBytes(form);
    xa += 4;
    xb += 4;
  }
  let p = y;
  v128.store(p, a0);
  v128.store(p, a1, 16);
  p += yStride;
  v128.store(p, b0);
  v128.store(p, b1, 16);
  if (rows > 2) {
    p += yStride;
    v128.store(p, c0);
    v128.store(p, c1, 16);
  }
  if (rows > 3) {
    p += yStride;
    v128.store(p, d0);
    v128.store(p, d1, 16);
  }
  if (rows > 4) {
    p += yStride;
    v128.store(p, e0);
    v128.store(p, e1, 16);
  }
}

// Exported from the module, though nobody calls them there, because that keeps them from being inlined, which makes V8
// spill, too: this and the late bias double their rate.

export function tile2(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(2, FORM_F32, x, xStride, panel, y, yStride, inFeatures);
}

export function tile3(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(3, FORM_F32, x, xStride, panel, y, yStride, inFeatures);
}

export function tile4(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(4, FORM_F32, x, xStride, panel, y, yStride, inFeatures);
}

export function tile5(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(5, FORM_F32, x, xStride, panel, y, yStride, inFeatures);
}

export function tile2Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(2, FORM_BF16, x, xStride, panel, y, yStride, inFeatures);
}

export function tile3Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(3, FORM_BF16, x, xStride, panel, y, yStride, inFeatures);
}

export function tile4Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(4, FORM_BF16, x, xStride, panel, y, yStride, inFeatures);
}

export function tile5Bf16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(5, FORM_BF16, x, xStride, panel, y, yStride, inFeatures);
}

export function tile2F16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(2, FORM_F16, x, xStride, panel, y, yStride, inFeatures);
}

export function tile3F16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(3, FORM_F16, x, xStride, panel, y, yStride, inFeatures);
}

export function tile4F16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(4, FORM_F16, x, xStride, panel, y, yStride, inFeatures);
}

export function tile5F16(x: usize, xStride: usize, panel: usize, y: usize, yStride: usize, inFeatures: i32): void {
  tile(5, FORM_F16, x, xStride, panel, y, yStride, inFeatures);
}
