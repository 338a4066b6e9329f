/**
 * Powers in f64, for the frequencies of rotary positions: the same bits on every machine, which `Math.pow` and `Math.exp`
 * do not promise. Only IEEE-754 additions, subtractions, multiplications, divisions, comparisons and conversions occur.
 * docs/numerics-functions.md has the measured errors.
 */
import { log } from "./math.js";

const LOG2_E = Math.LOG2E;
/** 1.5 · 2⁵². A sum with it has no bits below 1: adding and taking it away rounds to an integer, ties to even. */
const ROUNDING = 6755399441055744;
/** ln 2 = LN2_HEAD + LN2_TAIL. The first has 42 bits, so that its product with any n (11 bits) is exact. */
const LN2_HEAD = 0.6931471805598903;
const LN2_TAIL = 5.497923018708371e-14;
/** Between them results are normal numbers. */
const LEAST = -708;
const LARGEST = 709;
/** (eʳ − 1 − r) / r² on |r| ≤ ln 2 / 2, by falling powers of r. */
const POLYNOMIAL = [
  2.0826625965802334e-9, 2.511203684522655e-8, 2.7557581851752904e-7, 2.755723486191171e-6,
  2.4801586926629184e-5, 0.0001984126989638381, 0.001388888888911563, 0.008333333333317034,
  0.041666666666666095, 0.16666666666666682, 0.5,
];

const doubleView = new DataView(new ArrayBuffer(8));

/** e^x, f64 to f64: within 1.1 ulp of the exact value from x = −708 to 709; 0 below, +∞ above, NaN for NaN. */
export function expOfDouble(x: number): number {
  if (x < LEAST) return 0;
  if (x > LARGEST) return Infinity;
  const n = x * LOG2_E + ROUNDING - ROUNDING;
  const r = x - n * LN2_HEAD - n * LN2_TAIL;
  let q = 0;
  for (const coefficient of POLYNOMIAL) q = q * r + coefficient;
  // 2ⁿ from its bits; NaN has none, and its product is NaN.
  doubleView.setUint32(0, (n + 1023) << 20);
  return (1 + (r + r * r * q)) * doubleView.getFloat64(0);
}

/**
 * base^exponent, f64 to f64, for base > 0: e^(exponent · log base), within 1.1 + |exponent · log base| ulp of the exact
 * value, which is far below half an ulp of f32. Exactly 1 for exponent 0; NaN for a base below 0.
 */
export function power(base: number, exponent: number): number {
  return expOfDouble(exponent * log(base));
}
