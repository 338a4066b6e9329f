// exp, tanh and erf on four floats at once: the twins, bit for bit, of src/numerics/math.ts, which explains
// each step. Operations here and there correspond one to one, in the same order; docs/numerics-functions.md has the
// constants and the measured errors.
//
// Plain SIMD only. A relaxed operation (fused or estimated as the machine likes) may differ from one processor to
// the next, and a fused multiply-add rounds once where these formulas round twice: either would change bits.
//
// Of two neighbouring vectors whose results are stored side by side, V8 makes one of 256 bits: so callers take them in twos,
// both loaded before either is stored.
//
// Constants lie in memory: one instruction loads one into all lanes, and V8 takes four to make it, at each use.

/** A constant in all lanes. */
@inline
export function splat(constant: usize): v128 {
  return v128.load_splat<f32>(constant);
}

export const HALF = memory.data<f32>([0.5], 4);
export const ONE = memory.data<f32>([1], 4);
const TWO = memory.data<f32>([2], 4);
/** The sign's bit alone. */
const SIGN = memory.data<f32>([-0.0], 4);

const LOG2_E = memory.data<f32>([1.44269502], 4);
const LN2_HIGH = memory.data<f32>([0.693145752], 4);
const LN2_LOW = memory.data<f32>([1.42860677e-6], 4);
/** 1.5 · 2²³ + 254: the sum's low bits are then the exponent, already biased for two factors. */
const ROUNDING = memory.data<f32>([12583166], 4);
const EXP_MIN = memory.data<f32>([-104], 4);
const EXP_MAX = memory.data<f32>([89], 4);
const E2 = memory.data<f32>([0.49999994], 4);
const E3 = memory.data<f32>([0.166665211], 4);
const E4 = memory.data<f32>([0.041668389], 4);
const E5 = memory.data<f32>([0.00836871658], 4);
const E6 = memory.data<f32>([0.00138146267], 4);

/** e to the power of each lane. */
@inline
export function expF32x4(x: v128): v128 {
  // pmin and pmax give their first operand unless the second is strictly beyond it: NaN stays NaN.
  const c = f32x4.pmax(f32x4.pmin(x, splat(EXP_MAX)), splat(EXP_MIN));

  const rounded = f32x4.add(f32x4.mul(c, splat(LOG2_E)), splat(ROUNDING));
  const n = f32x4.sub(rounded, splat(ROUNDING));
  const high = f32x4.sub(c, f32x4.mul(n, splat(LN2_HIGH)));
  const r = f32x4.sub(high, f32x4.mul(n, splat(LN2_LOW)));

  const rr = f32x4.mul(r, r);
  const low = f32x4.add(splat(E2), f32x4.mul(splat(E3), r));
  const middle = f32x4.add(splat(E4), f32x4.mul(splat(E5), r));
  const q = f32x4.add(low, f32x4.mul(rr, f32x4.add(middle, f32x4.mul(rr, splat(E6)))));
  const p = f32x4.add(splat(ONE), f32x4.add(r, f32x4.mul(rr, q)));

  // n + 254 = (⌊n / 2⌋ + 127) + (⌈n / 2⌉ + 127), each then shifted into the exponent's place.
  const half = i32x4.shr_u(rounded, 1);
  const first = i32x4.shl(half, 23), second = i32x4.shl(i32x4.sub(rounded, half), 23);
  return f32x4.mul(f32x4.mul(p, first), second);
}

const TANH_SMALL = memory.data<f32>([0.625], 4);
const T3 = memory.data<f32>([-0.333332807], 4);
const T5 = memory.data<f32>([0.133314416], 4);
const T7 = memory.data<f32>([-0.0537397154], 4);
const T9 = memory.data<f32>([0.0206390787], 4);
const T11 = memory.data<f32>([-0.00570497429], 4);

/** The hyperbolic tangent of each lane. */
@inline
export function tanhF32x4(x: v128): v128 {
  const a = f32x4.abs(x);

  const u = f32x4.mul(a, a), uu = f32x4.mul(u, u);
  const low = f32x4.add(splat(T3), f32x4.mul(splat(T5), u));
  const high = f32x4.add(splat(T7), f32x4.mul(splat(T9), u));
  const q = f32x4.add(low, f32x4.mul(uu, f32x4.add(high, f32x4.mul(uu, splat(T11)))));
  const small = f32x4.add(a, f32x4.mul(a, f32x4.mul(u, q)));

  const one = splat(ONE);
  const large = f32x4.sub(one, f32x4.div(splat(TWO), f32x4.add(expF32x4(f32x4.add(a, a)), one)));

  const y = v128.bitselect(small, large, f32x4.lt(a, splat(TANH_SMALL)));
  return v128.or(y, v128.and(x, splat(SIGN)));
}

const ERF_MAX: f32 = 4;
const F0: f64 = 0.35353099562486545;
const F1: f64 = -0.17657623339570755;
const F2: f64 = 0.1316751207462661;
const F3: f64 = -0.10771043741059529;
const F4: f64 = 0.09020886293305412;
const F5: f64 = -0.07472794041894971;
const F6: f64 = 0.059888626985521554;
const F7: f64 = -0.04576469750241096;
const F8: f64 = 0.033049226691092067;
const F9: f64 = -0.022474188657419538;
const F10: f64 = 0.014392687018114608;
const F11: f64 = -0.008609032097647707;
const F12: f64 = 0.004755327178227411;
const F13: f64 = -0.0025635520273787618;
const F14: f64 = 0.0014294224757923357;
const F15: f64 = -0.0006420034737911522;
const F16: f64 = 0.00016301790247874929;
const F17: f64 = -8.819359678315141e-5;
const F18: f64 = 9.629402771766437e-5;
const F19: f64 = -3.330687035241083e-5;

/** One step of Horner's rule. */
@inline
function horner(sum: v128, t: v128, coefficient: f64): v128 {
  return f64x2.add(f64x2.mul(sum, t), f64x2.splat(coefficient));
}

/** The error function of two doubles in [−4, 4], each the value of a float, to well below a float's precision. */
@inline
function erfF64x2(x: v128): v128 {
  const t = f64x2.sub(f64x2.mul(f64x2.mul(x, x), f64x2.splat(0.125)), f64x2.splat(1));
  let p = f64x2.splat(F19);
  p = horner(p, t, F18);
  p = horner(p, t, F17);
  p = horner(p, t, F16);
  p = horner(p, t, F15);
  p = horner(p, t, F14);
  p = horner(p, t, F13);
  p = horner(p, t, F12);
  p = horner(p, t, F11);
  p = horner(p, t, F10);
  p = horner(p, t, F9);
  p = horner(p, t, F8);
  p = horner(p, t, F7);
  p = horner(p, t, F6);
  p = horner(p, t, F5);
  p = horner(p, t, F4);
  p = horner(p, t, F3);
  p = horner(p, t, F2);
  p = horner(p, t, F1);
  p = horner(p, t, F0);
  return f64x2.mul(x, p);
}

/** The error function of each lane. */
@inline
export function erfF32x4(x: v128): v128 {
  const c = f32x4.pmax(f32x4.pmin(x, f32x4.splat(ERF_MAX)), f32x4.splat(-ERF_MAX));
  const low = erfF64x2(f64x2.promote_low_f32x4(c));
  const high = erfF64x2(f64x2.promote_low_f32x4(v128.shuffle<f32>(c, c, 2, 3, 2, 3)));
  return v128.shuffle<f32>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 4, 5);
}

/** out[i] = exp(x[i]), i = 0 … n − 1. */
export function mapExp(out: usize, x: usize, n: i32): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(out + (<usize>i << 2), expF32x4(v128.load(x + (<usize>i << 2))));
  for (; i < n; i++) f32.store(out + (<usize>i << 2), f32x4.extract_lane(expF32x4(v128.load32_zero(x + (<usize>i << 2))), 0));
}

/** out[i] = tanh(x[i]), i = 0 … n − 1. */
export function mapTanh(out: usize, x: usize, n: i32): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(out + (<usize>i << 2), tanhF32x4(v128.load(x + (<usize>i << 2))));
  for (; i < n; i++) f32.store(out + (<usize>i << 2), f32x4.extract_lane(tanhF32x4(v128.load32_zero(x + (<usize>i << 2))), 0));
}

/** out[i] = erf(x[i]), i = 0 … n − 1. */
export function mapErf(out: usize, x: usize, n: i32): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(out + (<usize>i << 2), erfF32x4(v128.load(x + (<usize>i << 2))));
  for (; i < n; i++) f32.store(out + (<usize>i << 2), f32x4.extract_lane(erfF32x4(v128.load32_zero(x + (<usize>i << 2))), 0));
}
