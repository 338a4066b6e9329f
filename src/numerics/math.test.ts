import { beforeAll, describe, expect, it } from "vitest";
import {
  compileMathInWasm,
  erfReference,
  floatErrorUlps,
  floatSteps,
  logErrorUlps,
  type MathInWasm,
} from "../../test/elementary-reference.js";
import { erf, exp, log, tanh } from "./math.js";

const { fround } = Math;

/** Random 32-bit words: a linear congruential generator, its high half. */
function makeRandom(seed: bigint): () => number {
  let state = seed;
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(state >> 32n);
  };
}

/**
 * For each sign and each exponent: the first and the last two mantissas and random ones. Where the functions do
 * something (2^−30 … 2^7) more of them.
 */
function sampleFloats(): Float32Array {
  const random = makeRandom(1n);
  const bits: number[] = [];
  for (let sign = 0; sign < 2; sign++) {
    for (let biased = 0; biased < 256; biased++) {
      const base = sign * 0x80000000 + biased * 0x800000;
      bits.push(base, base + 1, base + 0x7ffffe, base + 0x7fffff);
      const count = biased > 97 && biased < 134 ? 4000 : 200;
      for (let i = 0; i < count; i++) bits.push(base + (random() >>> 9));
    }
  }
  return new Float32Array(Uint32Array.from(bits).buffer);
}

/** All floats within `radius` steps of `center`. */
function floatsAround(center: number, radius: number): Float32Array {
  const x = new Float32Array(2 * radius + 1).fill(center);
  const bits = new Int32Array(x.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] = bits[i]! + i - radius;
  return x;
}

// Edges: where exp overflows, turns subnormal and vanishes and where its clamps are; halfway between multiples of
// ln 2; tanh's branch; where tanh, and erf, reach 1.
const EDGES = [88.72284, 89, -87.33655, -103.2789, -103.97208, -104, Math.LN2 / 2, Math.LN2 * 1.5].concat([
  0.625, 9.010913, 3.9192059, 4, 3.5,
]);

const samples = [sampleFloats(), ...EDGES.flatMap((edge) => [edge, -edge]).map((x) => floatsAround(x, 500))];
const x = Float32Array.from(samples.flatMap((part) => Array.from(part)));

let wasm: MathInWasm;
beforeAll(async () => {
  wasm = await compileMathInWasm(x.length);
});

const functions = [
  { name: "exp", own: exp, reference: Math.exp, maxError: 1 },
  { name: "tanh", own: tanh, reference: Math.tanh, maxError: 1.35 },
  { name: "erf", own: erf, reference: erfReference, maxError: 0.51 },
] as const;

describe.each(functions)("$name", ({ name, own, reference, maxError }) => {
  it("is within 1 ulp of the correctly rounded value, subnormals included", () => {
    let worst = { steps: 0, at: 0 };
    let largest = { error: 0, at: 0 };
    for (const xi of x) {
      const y = own(xi);
      const exact = reference(xi);
      const steps = floatSteps(y, exact);
      if (steps > worst.steps) worst = { steps, at: xi };
      const error = floatErrorUlps(y, exact);
      if (error > largest.error) largest = { error, at: xi };
    }
    expect(worst.steps, `at ${worst.at}`).toBeLessThanOrEqual(1);
    expect(largest.error, `at ${largest.at}`).toBeLessThanOrEqual(maxError);
  });

  it("gives an f32", () => {
    expect(x.findIndex((xi) => !Object.is(fround(own(xi)), own(xi)))).toBe(-1);
  });

  it("gives the same bits in WebAssembly", () => {
    const y = wasm[name](x);
    expect(x.findIndex((xi, i) => !Object.is(own(xi), y[i]))).toBe(-1);
  });

  it("gives the same bits in WebAssembly whatever the length", () => {
    for (let length = 0; length <= 9; length++) {
      const some = x.subarray(x.length - length);
      expect(Array.from(wasm[name](some))).toEqual(Array.from(some, own));
    }
  });
});

describe("exp", () => {
  it("has exact limits", () => {
    expect(exp(0)).toBe(1);
    expect(exp(-0)).toBe(1);
    expect(exp(Infinity)).toBe(Infinity);
    expect(exp(-Infinity)).toBe(0);
    expect(exp(NaN)).toBe(NaN);
  });

  it("overflows and vanishes where the correctly rounded value does", () => {
    expect(exp(fround(88.7228317))).toBeLessThan(Infinity);
    expect(exp(fround(88.7228394))).toBe(Infinity);
    expect(exp(fround(-103.972076))).toBe(2 ** -149);
    expect(exp(fround(-103.972084))).toBe(0);
    expect(exp(fround(3.4e38))).toBe(Infinity);
    expect(exp(fround(-3.4e38))).toBe(0);
  });
});

describe("tanh", () => {
  it("is odd, signed zero included", () => {
    expect(x.findIndex((xi) => !Object.is(tanh(-xi), -tanh(xi)))).toBe(-1);
    expect(tanh(-0)).toBe(-0);
  });

  it("saturates at exactly 1 and stays there", () => {
    expect(tanh(9)).toBe(fround(1 - 2 ** -24));
    for (const a of [9.1, 20, 44.5, 89, 1e10, 3.4e38, Infinity]) expect(tanh(fround(a))).toBe(1);
    expect(tanh(NaN)).toBe(NaN);
  });

  it("rises from the polynomial to the exponential", () => {
    const y = floatsAround(0.625, 2000).map(tanh);
    expect(y.findIndex((yi, i) => yi < y[i - 1]!)).toBe(-1);
  });
});

describe("erf", () => {
  it("is odd, signed zero included", () => {
    expect(x.findIndex((xi) => !Object.is(erf(-xi), -erf(xi)))).toBe(-1);
    expect(erf(-0)).toBe(-0);
  });

  it("saturates at exactly 1 and stays there", () => {
    expect(erf(fround(3.919))).toBe(fround(1 - 2 ** -24));
    for (const a of [3.92, 3.99, 4, 4.01, 100, 3.4e38, Infinity]) expect(erf(fround(a))).toBe(1);
    expect(erf(NaN)).toBe(NaN);
  });

  it("agrees with tabulated values (Abramowitz and Stegun, table 7.1)", () => {
    expect(erf(0.5)).toBe(fround(0.5204998778));
    expect(erf(1)).toBe(fround(0.8427007929));
    expect(erf(2)).toBe(fround(0.995322265));
  });
});

describe("log", () => {
  function sampleDoubles(): Float64Array {
    const random = makeRandom(2n);
    const bits: bigint[] = [];
    const fraction = () => (BigInt(random()) << 20n) | BigInt(random() >>> 12);
    for (let biased = 0n; biased < 2047n; biased++) {
      for (const low of [1n, 0xfffffffffffffn, fraction(), fraction()]) bits.push((biased << 52n) | low);
      if (biased > 0n) bits.push(biased << 52n);
    }
    const one = 0x3ff0000000000000n;
    for (let i = 0; i < 10_000; i++) {
      // From ½ to 2; and closer and closer to 1, from both sides.
      bits.push(0x3fe0000000000000n + (fraction() << 1n));
      const near = fraction() >> BigInt(i % 52);
      bits.push(one + near + 1n, one - near - 1n);
    }
    // Around √2 times a power of two, where the exponent moves up by one.
    const root = new BigUint64Array(new Float64Array([Math.SQRT2]).buffer)[0]!;
    for (let i = -50n; i < 50n; i++) bits.push(root + i, root + i - (1n << 52n), root + i + (9n << 52n));
    return new Float64Array(BigUint64Array.from(bits).buffer);
  }

  it("is within 1 ulp of the exact value, subnormals included", () => {
    let largest = { error: 0, at: 0 };
    for (const xi of sampleDoubles()) {
      if (xi === 1) continue;
      const error = logErrorUlps(xi, log(xi));
      if (error > largest.error) largest = { error, at: xi };
    }
    expect(largest.error, `at ${largest.at}`).toBeLessThan(1);
    expect(largest.error).toBeGreaterThan(0.5);
  });

  it("has exact special values", () => {
    expect(log(1)).toBe(0);
    expect(log(0)).toBe(-Infinity);
    expect(log(-0)).toBe(-Infinity);
    expect(log(Infinity)).toBe(Infinity);
    for (const bad of [-Number.MIN_VALUE, -1, -Infinity, NaN]) expect(log(bad)).toBe(NaN);
  });
});
