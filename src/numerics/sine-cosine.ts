/**
 * lastrow's own sine and cosine, f64 to f64: the same bits on every machine, which `Math.sin` and `Math.cos` do not
 * promise. Only IEEE-754 additions, subtractions, multiplications and comparisons occur.
 *
 * x = n · π/2 + r with n an integer and |r| ≤ π/4; a polynomial of r; the sign and which of the two by n's last bits.
 * docs/numerics-functions.md has the measured errors.
 */

/** Largest |x| of both functions, 2²⁶: products of n with the parts of π/2 are exact up to there. */
export const LARGEST_ANGLE = 67_108_864;

const TWO_OVER_PI = 0.6366197723675814;
/** 1.5 · 2⁵². A sum with it has no bits below 1: adding and taking it away rounds to an integer, ties to even. */
const ROUNDING = 6755399441055744;
/**
 * π/2 is the sum of these. The first three are multiples of 2⁻²⁶, 2⁻⁵³ and 2⁻⁸⁰, of at most 27 bits, so that their
 * products with any n (26 bits) are exact.
 */
const HALF_PI_1 = 1.570796325802803;
const HALF_PI_2 = 9.920935184482005e-10;
const HALF_PI_3 = 6.123233932053594e-17;
const HALF_PI_4 = 6.36831716351095e-25;

/** (sin(r) / r − 1) / r² for |r| ≤ π/4, by rising powers of r². */
const S3 = -0.1666666666666663;
const S5 = 0.008333333333322108;
const S7 = -0.00019841269829580163;
const S9 = 2.7557313618016403e-6;
const S11 = -2.5050747218065124e-8;
const S13 = 1.589619762903044e-10;
/** (cos(r) − 1 + r²/2) / r⁴ for |r| ≤ π/4, by rising powers of r². */
const C4 = 0.041666666666666595;
const C6 = -0.001388888888887304;
const C8 = 2.4801587288841384e-5;
const C10 = -2.7557314176236066e-7;
const C12 = 2.087570041557449e-9;
const C14 = -1.1358513926322648e-11;

/** sin(x) for |x| ≤ `LARGEST_ANGLE`, within 2.5 ulp of the exact value; NaN beyond and for NaN. */
export function sin(x: number): number {
  const n = quarterTurns(x);
  const r = remainder(x, n);
  const y = n & 1 ? cosOfSmall(r) : sinOfSmall(r);
  return n & 2 ? -y : y;
}

/** cos(x) for |x| ≤ `LARGEST_ANGLE`, within 2.5 ulp of the exact value; NaN beyond and for NaN. */
export function cos(x: number): number {
  const n = quarterTurns(x);
  const r = remainder(x, n);
  const y = n & 1 ? sinOfSmall(r) : cosOfSmall(r);
  return (n + 1) & 2 ? -y : y;
}

function quarterTurns(x: number): number {
  return Math.abs(x) <= LARGEST_ANGLE ? x * TWO_OVER_PI + ROUNDING - ROUNDING : Number.NaN;
}

/** x − n · π/2. Where the first differences cancel they are exact, so that what is left has all its digits. */
function remainder(x: number, n: number): number {
  return x - n * HALF_PI_1 - n * HALF_PI_2 - n * HALF_PI_3 - n * HALF_PI_4;
}

function sinOfSmall(r: number): number {
  const u = r * r;
  return r + r * (u * (S3 + u * (S5 + u * (S7 + u * (S9 + u * (S11 + u * S13))))));
}

/** 1 − u/2 rounds; what it loses is added to the rest. */
function cosOfSmall(r: number): number {
  const u = r * r;
  const half = 0.5 * u;
  const q = u * u * (C4 + u * (C6 + u * (C8 + u * (C10 + u * (C12 + u * C14)))));
  const w = 1 - half;
  return w + (1 - w - half + q);
}
