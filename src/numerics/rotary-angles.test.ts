import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  cosineAndSineReference,
  expErrorUlps,
  floatErrorUlps,
  floatSteps,
  rotationErrorUlps,
} from "../../test/elementary-reference.js";
import { expOfDouble, power } from "./power.js";
import { fillAngles } from "./rotary-angles.js";
import { cos, LARGEST_ANGLE, sin } from "./sine-cosine.js";

const { fround } = Math;

/** Random doubles from 0 to 1: a linear congruential generator. */
function makeRandom(seed: bigint): () => number {
  let state = seed;
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(state >> 11n) / 2 ** 53;
  };
}

/** Frequencies of models: base, and how many values of a head turn. */
const MODELS = [
  [10_000, 64],
  [10_000, 16],
  [100_000, 64],
  [500_000, 64],
  [1_000_000, 128],
  [1_000_000, 256],
  [5_000_000, 128],
] as const;

function frequencies(base: number, width: number): number[] {
  return Array.from({ length: width / 2 }, (_, i) => fround(1 / power(base, (2 * i) / width)));
}

describe("sin and cos", () => {
  it("are within 2.5 ulp of the exact values, up to the largest angle", () => {
    const random = makeRandom(3n);
    let largest = { error: 0, at: 0 };
    const measure = (x: number) => {
      const error = rotationErrorUlps(x, { cos: cos(x), sin: sin(x) });
      for (const one of [error.cos, error.sin]) if (one > largest.error) largest = { error: one, at: x };
    };
    for (let i = 0; i < 6000; i++) {
      measure((random() - 0.5) * 2 ** (i % 28));
      // Nearest to multiples of π/2, where one of the two nearly vanishes, and halfway between.
      measure(Math.floor(random() * 2 ** (i % 26)) * (Math.PI / 2));
      measure((2 * Math.floor(random() * 2 ** (i % 25)) + 1) * (Math.PI / 4));
    }
    for (const x of [1, 1e-9, Math.PI / 4, LARGEST_ANGLE, -LARGEST_ANGLE]) measure(x);
    expect(largest.error, `at ${largest.at}`).toBeLessThan(2.5);
    expect(largest.error).toBeGreaterThan(0.5);
  });

  it("have exact special values, and NaN beyond the largest angle", () => {
    expect(cos(0)).toBe(1);
    expect(sin(0)).toBe(0);
    for (const x of [LARGEST_ANGLE * (1 + 2 ** -52), -1e9, Infinity, NaN]) {
      expect(sin(x)).toBe(NaN);
      expect(cos(x)).toBe(NaN);
    }
  });
});

describe("powers", () => {
  it("e^x is within 1.1 ulp of the exact value", () => {
    const random = makeRandom(4n);
    let largest = { error: 0, at: 0 };
    for (let i = 0; i < 10_000; i++) {
      const x = i % 2 === 0 ? random() * 1417 - 708 : (random() - 0.5) * 4;
      const error = expErrorUlps(x, expOfDouble(x));
      if (error > largest.error) largest = { error, at: x };
    }
    expect(largest.error, `at ${largest.at}`).toBeLessThan(1.1);
    expect(largest.error).toBeGreaterThan(0.5);
  });

  it("e^x has exact limits", () => {
    expect(expOfDouble(0)).toBe(1);
    expect(expOfDouble(-708.1)).toBe(0);
    expect(expOfDouble(709.1)).toBe(Infinity);
    expect(expOfDouble(-Infinity)).toBe(0);
    expect(expOfDouble(Infinity)).toBe(Infinity);
    expect(expOfDouble(NaN)).toBe(NaN);
  });

  it("powers of 2 and 10 are within their stated error", () => {
    for (let n = -300; n <= 300; n++) {
      const bound = (base: number) => (1.1 + Math.abs(n * Math.log(base))) * 2 ** -52;
      expect(Math.abs(power(2, n) / 2 ** n - 1)).toBeLessThan(bound(2));
      // Decimal literals are correctly rounded.
      expect(Math.abs(power(10, n) / Number(`1e${n}`) - 1)).toBeLessThan(bound(10));
    }
    expect(power(7, 0)).toBe(1);
    expect(power(-1, 0.5)).toBe(NaN);
  });
});

describe("angles", () => {
  it("are the f32 values nearest to exact cosines and sines, at positions up to 2^20", () => {
    const random = makeRandom(5n);
    let misrounded = 0;
    let largest = 0;
    let measured = 0;
    for (const [base, width] of MODELS) {
      const rotation = { frequencies: frequencies(base, width), factor: 1 };
      const out = new Float32Array(width);
      const positions = [0, 1, 15, 16, 4095, 2 ** 17 - 1, 2 ** 20 - 1, 2 ** 20];
      for (let i = 0; i < 20; i++) positions.push(Math.floor(random() * 2 ** 20));
      for (const position of positions) {
        fillAngles(out, position, rotation);
        rotation.frequencies.forEach((frequency, i) => {
          const exact = cosineAndSineReference(position * frequency);
          for (const [own, wanted] of [
            [out[i]!, exact.cos],
            [out[width / 2 + i]!, exact.sin],
          ] as const) {
            measured++;
            if (floatSteps(own, wanted) > 0) misrounded++;
            largest = Math.max(largest, floatErrorUlps(own, wanted));
          }
        });
      }
    }
    expect(measured).toBeGreaterThan(10_000);
    expect(misrounded).toBe(0);
    expect(largest).toBeLessThanOrEqual(0.5 + 2 ** -20);
  });

  it("are multiplied by the factor before they round", () => {
    const factor = fround(1.1902380714238083);
    const rotation = { frequencies: frequencies(10_000, 32), factor };
    const out = new Float32Array(32);
    fillAngles(out, 777, rotation);
    rotation.frequencies.forEach((frequency, i) => {
      const exact = cosineAndSineReference(777 * frequency);
      expect(out[i]).toBe(fround(exact.cos * factor));
      expect(out[16 + i]).toBe(fround(exact.sin * factor));
    });
  });

  // Whoever changes a bit of an angle changes the numerics: every cache and saved sequence of a model that rotates.
  it("have these bits", () => {
    const digest = createHash("sha256");
    for (const [base, width] of MODELS) {
      const rotation = { frequencies: frequencies(base, width), factor: fround(base === 10_000 ? 1 : 1.19) };
      const out = new Float32Array(width);
      digest.update(Float32Array.from(rotation.frequencies));
      for (let position = 0; position <= 2 ** 20; position += position < 64 ? 1 : 9973) {
        fillAngles(out, position, rotation);
        digest.update(out);
      }
    }
    expect(digest.digest("hex")).toBe("1a9def1871f94be52afe16ce6f31514a097151c5db14ae0ef2f9a617bd4ea956");
  });
});
