/**
 * What lastrow's elementary functions are measured against, computed in ways that share nothing with them; and the
 * WebAssembly twins of three of them, compiled on the spot. Used by the unit tests and by scripts/measure-math.ts.
 */
import { readFile } from "node:fs/promises";
import asc from "assemblyscript/asc";

interface MathExports {
  memory: WebAssembly.Memory;
  mapExp(out: number, x: number, n: number): void;
  mapTanh(out: number, x: number, n: number): void;
  mapErf(out: number, x: number, n: number): void;
}

/** Where `mathInWasm` puts its input and its output: one page each side of the module's own data. */
const INPUT = 65536;

/** exp, tanh and erf of assembly/math.ts over arrays of f32. The answer is a view that the next call overwrites. */
export interface MathInWasm {
  exp(x: Float32Array): Float32Array;
  tanh(x: Float32Array): Float32Array;
  erf(x: Float32Array): Float32Array;
}

/** Compiles assembly/math.ts for arrays of at most `capacity` elements. */
export async function compileMathInWasm(capacity: number): Promise<MathInWasm> {
  const root = new URL("..", import.meta.url);
  const entry = 'export { mapErf, mapExp, mapTanh } from "./assembly/math";';
  let binary: Uint8Array<ArrayBuffer> | undefined;
  const { error, stderr } = await asc.main(
    [
      "entry.ts",
      "--outFile=math.wasm",
      "-O3",
      "--runtime=stub",
      "--noAssert",
      "--enable=simd",
      "--use=abort=",
    ],
    {
      readFile: (name) =>
        name === "entry.ts" ? entry : readFile(new URL(name, root), "utf8").catch(() => null),
      writeFile: (name, contents) => {
        if (name.endsWith(".wasm") && typeof contents !== "string") binary = new Uint8Array(contents);
      },
      listFiles: () => [],
    },
  );
  if (error !== null || binary === undefined) throw new Error(`assembly/math.ts: ${stderr.toString()}`);

  const { instance } = await WebAssembly.instantiate(binary);
  const wasm = instance.exports as unknown as MathExports;
  const output = INPUT + Math.ceil(capacity / 4) * 16;
  wasm.memory.grow(Math.ceil((output + capacity * 4) / 65536));
  const map = (operation: (out: number, x: number, n: number) => void) => (x: Float32Array) => {
    if (x.length > capacity) throw new RangeError(`${x.length} elements do not fit ${capacity}`);
    new Float32Array(wasm.memory.buffer, INPUT, x.length).set(x);
    operation(output, INPUT, x.length);
    return new Float32Array(wasm.memory.buffer, output, x.length);
  };
  return { exp: map(wasm.mapExp), tanh: map(wasm.mapTanh), erf: map(wasm.mapErf) };
}

/**
 * erf(x) to about 1e-15 of its value: the series without cancellation,
 * erf(x) = 2/√π e^(−x²) Σ 2ᵏ x²ᵏ⁺¹ / (1 · 3 · … · (2k + 1)) (Abramowitz and Stegun 7.1.6).
 */
export function erfReference(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) {
    term *= (2 * x * x) / (2 * k + 1);
    sum += term;
  }
  return 1.1283791670955126 * Math.exp(-x * x) * sum;
}

/** Fraction bits of the fixed-point numbers below. */
const FRACTION = 192n;
const ONE = 1n << FRACTION;

/** ln 2 = 2 atanh(1/3), in fixed point. */
const LN2 = (() => {
  let sum = 0n;
  for (let k = 1n, power = ONE / 3n; power > 0n; k += 2n, power /= 9n) sum += (2n * power) / k;
  return sum;
})();

/** A finite double as mantissa · 2^exponent, exactly. */
function decompose(x: number): { mantissa: bigint; exponent: number } {
  const bits = new BigUint64Array(new Float64Array([x]).buffer)[0]!;
  const biased = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n);
  return { mantissa: x < 0 ? -mantissa : mantissa, exponent: Math.max(biased, 1) - 1075 };
}

const shift = (x: bigint, by: bigint) => (by >= 0n ? x << by : x >> -by);

/** The spacing of doubles at `y`. */
function doubleSpacing(y: number): number {
  return 2 ** decompose(y).exponent;
}

/**
 * How far `y` is from log(x), in units of y's last place, for x > 0 and finite, y not 0. From x e^(−y) − 1, which is
 * log(x) − y up to its square; e^(−y) as a Taylor series in 192-bit fixed point.
 */
export function logErrorUlps(x: number, y: number): number {
  const argument = decompose(x);
  const n = BigInt(Math.round(y / Math.LN2));
  const sum = expOfFixed(n * LN2 - fixed(y)); // −y = r − n ln 2
  const ratio = shift(argument.mantissa * sum, BigInt(argument.exponent) - n);
  // Scaled before it becomes a double: the difference may be as small as 2^−106.
  return Math.abs(toNumber(ratio - ONE)) / doubleSpacing(y);
}

/** How far `y` is from e^x, in units of y's last place, for finite x and normal y: from y e^(−x) − 1. */
export function expErrorUlps(x: number, y: number): number {
  const claimed = decompose(y);
  const n = BigInt(Math.round(x / Math.LN2));
  const sum = expOfFixed(n * LN2 - fixed(x));
  const ratio = shift(claimed.mantissa * sum, BigInt(claimed.exponent) - n);
  return (Math.abs(toNumber(ratio - ONE)) * y) / doubleSpacing(y);
}

/** A double in fixed point; bits below 2^−192 are cut off. */
function fixed(x: number): bigint {
  const { mantissa, exponent } = decompose(x);
  return shift(mantissa, FRACTION + BigInt(exponent));
}

function toNumber(x: bigint): number {
  return Number(x) / 2 ** Number(FRACTION);
}

/** eʳ as a Taylor series, r and result in fixed point. */
function expOfFixed(r: bigint): bigint {
  let sum = ONE;
  for (let k = 1n, term = ONE; term !== 0n && term !== -1n; k++) {
    term = ((term * r) >> FRACTION) / k;
    sum += term;
  }
  return sum;
}

/** π/2 = 8 atan(1/5) − 2 atan(1/239) (Machin), in fixed point. */
const HALF_PI = (() => {
  const atanOfInverse = (n: bigint) => {
    let sum = 0n;
    for (let k = 1n, power = ONE / n; power > 0n; k += 2n, power /= n * n) {
      sum += (k & 2n) === 0n ? power / k : -power / k;
    }
    return sum;
  };
  return 8n * atanOfInverse(5n) - 2n * atanOfInverse(239n);
})();

/** cos(x) and sin(x) in fixed point, for |x| up to 2³⁰: Taylor series of what is left of whole quarter turns. */
function cosineAndSine(x: number): [cosine: bigint, sine: bigint] {
  const angle = fixed(x);
  const n = (2n * angle + HALF_PI) / (2n * HALF_PI);
  const r = angle - n * HALF_PI;
  let cosine = 0n;
  let sine = 0n;
  for (let k = 0n, term = ONE; term !== 0n && term !== -1n; k++, term = ((term * r) >> FRACTION) / k) {
    const signed = (k & 2n) === 0n ? term : -term;
    if ((k & 1n) === 0n) cosine += signed;
    else sine += signed;
  }
  const turned = [
    [cosine, sine],
    [-sine, cosine],
    [-cosine, -sine],
    [sine, -cosine],
  ] as const;
  const [c, s] = turned[Number(n & 3n)]!;
  return [c, s];
}

/** cos(x) and sin(x) to the last bit of a double. */
export function cosineAndSineReference(x: number): { cos: number; sin: number } {
  const [cosine, sine] = cosineAndSine(x);
  return { cos: toNumber(cosine), sin: toNumber(sine) };
}

/** How far `cos` and `sin` are from cos(x) and sin(x), in units of their last places. */
export function rotationErrorUlps(
  x: number,
  own: { cos: number; sin: number },
): { cos: number; sin: number } {
  const [cosine, sine] = cosineAndSine(x);
  const error = (y: number, exact: bigint) => Math.abs(toNumber(fixed(y) - exact)) / doubleSpacing(y);
  return { cos: error(own.cos, cosine), sin: error(own.sin, sine) };
}

const floatView = new Float32Array(1);
const bitsView = new Int32Array(floatView.buffer);

/** Floats in a row, −NaN excluded, numbered in order, ±0 both 0. */
function floatIndex(x: number): number {
  floatView[0] = x;
  const bits = bitsView[0]!;
  return bits < 0 ? -2147483648 - bits : bits;
}

/** How many f32 steps `y` is from the f32 nearest to `exact`. Infinity where only one of them is NaN. */
export function floatSteps(y: number, exact: number): number {
  if (Number.isNaN(y) || Number.isNaN(exact))
    return Number.isNaN(y) && Number.isNaN(exact) ? 0 : Number.POSITIVE_INFINITY;
  return Math.abs(floatIndex(y) - floatIndex(exact));
}

const FLOAT_SPACINGS = Float64Array.from({ length: 256 }, (_, biased) => 2 ** (Math.max(biased, 1) - 150));

/** |y − exact| in units of the last place of the f32 nearest to `exact`; 0 where that is not finite. */
export function floatErrorUlps(y: number, exact: number): number {
  floatView[0] = exact;
  const biased = (bitsView[0]! >> 23) & 255;
  return biased === 255 || !Number.isFinite(y) ? 0 : Math.abs(y - exact) / FLOAT_SPACINGS[biased]!;
}
