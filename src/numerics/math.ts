/**
 * lastrow's own exp, tanh, erf and log: the same bits on every machine, which `Math.exp` and its kin do not promise.
 *
 * Only IEEE-754 additions, subtractions, multiplications, divisions, comparisons and conversions occur. exp and tanh
 * round each operation to f32; erf and log compute in f64. assembly/math.ts holds the SIMD twins of the first three:
 * the same operations in the same order. docs/numerics-functions.md has the measured errors.
 */

const { fround } = Math;

const floatView = new Float32Array(1);
const bitsView = new Int32Array(floatView.buffer);

/** 2^n as an f32, for integers −126 … 127. */
function powerOfTwo(n: number): number {
  bitsView[0] = (n + 127) << 23;
  return floatView[0]!;
}

const LOG2_E = fround(1.44269502);
/** ln 2 = LN2_HIGH + LN2_LOW. The first has 15 bits, so that its product with any n (8 bits) is exact. */
const LN2_HIGH = fround(0.693145752);
const LN2_LOW = fround(1.42860677e-6);
/** 1.5 · 2²³ + 254. A sum with it has no bits below 1: adding and taking it away rounds to an integer, ties to even. */
const ROUNDING = 12583166;
/** exp(EXP_MIN) < 2⁻¹⁵⁰ rounds to 0, exp(EXP_MAX) > 2¹²⁸ to infinity. */
const EXP_MIN = -104;
const EXP_MAX = 89;
/** (eʳ − 1 − r) / r² on |r| ≤ ln 2 / 2, by rising powers of r. */
const E2 = fround(0.49999994);
const E3 = fround(0.166665211);
const E4 = fround(0.041668389);
const E5 = fround(0.00836871658);
const E6 = fround(0.00138146267);

/**
 * e^x, f32 to f32: within 1 ulp of the correctly rounded value, subnormal results included. exp(−∞) = 0,
 * exp(+∞) = +∞, exp(NaN) = NaN. `x` must be an f32.
 *
 * x = n · ln 2 + r with n an integer and |r| ≤ ln 2 / 2 (Cody and Waite's reduction); eʳ from a polynomial; times 2ⁿ.
 */
export function exp(x: number): number {
  // Math.min and Math.max keep NaN.
  const c = Math.max(Math.min(x, EXP_MAX), EXP_MIN);

  const n = fround(fround(fround(c * LOG2_E) + ROUNDING) - ROUNDING);
  const r = fround(fround(c - fround(n * LN2_HIGH)) - fround(n * LN2_LOW));

  // 1 + (r + r² ((E2 + E3 r) + r² ((E4 + E5 r) + r² E6)))
  const rr = fround(r * r);
  const low = fround(E2 + fround(E3 * r));
  const middle = fround(E4 + fround(E5 * r));
  const q = fround(low + fround(rr * fround(middle + fround(rr * E6))));
  const p = fround(1 + fround(r + fround(rr * q)));

  // n reaches from −150 to 128, past the exponents of an f32: two factors. The first product is exact; only the
  // second can leave the normal numbers, and it rounds once.
  const half = Math.floor(n / 2);
  return fround(fround(p * powerOfTwo(half)) * powerOfTwo(n - half));
}

/** Below it, 1 − 2 / (e^2x + 1) loses digits. */
const TANH_SMALL = 0.625;
/** (tanh(x) / x − 1) / x² for |x| ≤ TANH_SMALL, by rising powers of x². */
const T3 = fround(-0.333332807);
const T5 = fround(0.133314416);
const T7 = fround(-0.0537397154);
const T9 = fround(0.0206390787);
const T11 = fround(-0.00570497429);

/**
 * tanh(x), f32 to f32: within 1 ulp of the correctly rounded value, subnormals included. tanh(−0) = −0, exactly ±1
 * where that is the nearest f32, tanh(NaN) = NaN. `x` must be an f32.
 */
export function tanh(x: number): number {
  const a = Math.abs(x);
  const magnitude = a < TANH_SMALL ? tanhOfSmall(a) : fround(1 - fround(2 / fround(exp(fround(a + a)) + 1)));
  return x < 0 || Object.is(x, -0) ? -magnitude : magnitude;
}

/** a + a (u ((T3 + T5 u) + u² ((T7 + T9 u) + u² T11))), u = a² */
function tanhOfSmall(a: number): number {
  const u = fround(a * a);
  const uu = fround(u * u);
  const low = fround(T3 + fround(T5 * u));
  const high = fround(T7 + fround(T9 * u));
  const q = fround(low + fround(uu * fround(high + fround(uu * T11))));
  return fround(a + fround(a * fround(u * q)));
}

/** Past 3.9192, erf is nearer to 1 than to the f32 before it; the polynomial reaches a little further. */
const ERF_MAX = 4;
/** erf(x) / x for |x| ≤ ERF_MAX, by falling powers of t = x² / 8 − 1, which lies in [−1, 1]. */
const ERF_POLYNOMIAL = [
  -3.330687035241083e-5, 9.629402771766437e-5, -8.819359678315141e-5, 0.00016301790247874929,
  -0.0006420034737911522, 0.0014294224757923357, -0.0025635520273787618, 0.004755327178227411,
  -0.008609032097647707, 0.014392687018114608, -0.022474188657419538, 0.033049226691092067,
  -0.04576469750241096, 0.059888626985521554, -0.07472794041894971, 0.09020886293305412, -0.10771043741059529,
  0.1316751207462661, -0.17657623339570755, 0.35353099562486545,
];

/**
 * The error function, f32 to f32: within 1 ulp of the correctly rounded value, subnormals included. Computed in f64
 * (Horner's rule) and rounded once. erf(−0) = −0, exactly ±1 from |x| = 3.92 on, erf(NaN) = NaN. `x` must be an f32.
 */
export function erf(x: number): number {
  const c = Math.max(Math.min(x, ERF_MAX), -ERF_MAX);
  const t = c * c * 0.125 - 1;
  let p = 0;
  for (const coefficient of ERF_POLYNOMIAL) p = p * t + coefficient;
  return fround(c * p);
}

/** ln 2 = LN2_HEAD + LN2_TAIL. The first has 42 bits, so that its product with an exponent (11 bits) is exact. */
const LN2_HEAD = 0.6931471805598903;
const LN2_TAIL = 5.497923018708371e-14;
const SMALLEST_NORMAL = 2.2250738585072014e-308;
/** 2⁵⁴ */
const SUBNORMAL_SCALE = 18014398509481984;
/** (log((1 + s) / (1 − s)) / s − 2) / s² for |s| ≤ 3 − 2√2, by rising powers of s². */
const L0 = 0.6666666666666734;
const L1 = 0.3999999999941463;
const L2 = 0.28571428742401384;
const L3 = 0.22222198571510185;
const L4 = 0.1818356442576802;
const L5 = 0.1531404769805051;
const L6 = 0.14795981131358532;

const doubleView = new DataView(new ArrayBuffer(8));

/**
 * The natural logarithm, f64 to f64: within 1 ulp of the exact value. log(1) = +0, log(±0) = −∞, log(+∞) = +∞,
 * NaN below 0 and for NaN.
 *
 * x = 2ᵏ (1 + f) with √½ < 1 + f ≤ √2, and s = f / (2 + f): then 1 + f = (1 + s) / (1 − s), whose logarithm is
 * 2s + sR with R = s² (L0 + L1 s² + …). Since 2s = f − sf = f − f²/2 + sf²/2, it is also f − (h − s (h + R)) with
 * h = f²/2, which leads with the exact f and so loses less than 2s + sR: the form that FreeBSD's msun took from
 * Sun's fdlibm (`e_log.c`). The coefficients are our own.
 */
export function log(x: number): number {
  if (x === 0) return -Infinity;
  if (x < 0) return NaN;
  if (x === Infinity || Number.isNaN(x)) return x;

  const subnormal = x < SMALLEST_NORMAL;
  doubleView.setFloat64(0, subnormal ? x * SUBNORMAL_SCALE : x);
  const top = doubleView.getUint32(0);
  let k = (top >>> 20) - (subnormal ? 1077 : 1023);
  doubleView.setUint32(0, (top & 0xfffff) | 0x3ff00000);
  let m = doubleView.getFloat64(0);
  if (m > Math.SQRT2) {
    m *= 0.5;
    k += 1;
  }

  const f = m - 1;
  const s = f / (2 + f);
  const z = s * s;
  const r = z * (L0 + z * (L1 + z * (L2 + z * (L3 + z * (L4 + z * (L5 + z * L6))))));
  const h = 0.5 * f * f;
  return k * LN2_HEAD - (h - (s * (h + r) + k * LN2_TAIL) - f);
}
