import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { philox4x32, randomSeed, uniform, type Words2, type Words4 } from "./philox.js";

/** The paper's definition in 64-bit arithmetic. */
function philoxTwin(counter: Words4, key: Words2): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  const word = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & word, (p0 >> 32n) ^ c3 ^ k1, p0 & word];
    k0 = (k0 + 0x9e3779b9n) & word;
    k1 = (k1 + 0xbb67ae85n) & word;
  }
  return [c0, c1, c2, c3].map(Number);
}

const word = fc.integer({ min: 0, max: 0xffffffff });

describe("philox4x32", () => {
  // tests/kat_vectors of Random123 1.14.0, lines "philox4x32 10".
  test.each<{ counter: Words4; key: Words2; expected: Words4 }>([
    {
      counter: [0, 0, 0, 0],
      key: [0, 0],
      expected: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      expected: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      expected: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ])("known answer for counter $counter", ({ counter, key, expected }) => {
    expect(philox4x32(counter, key)).toEqual(expected);
  });

  test("equals the definition in 64-bit arithmetic", () => {
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        expect(philox4x32(counter, key)).toEqual(philoxTwin(counter, key));
      }),
    );
  });
});

describe("uniform", () => {
  test("is made of the upper 27 and 26 bits of the first two words", () => {
    const bits = ((0x6627e8d5n >> 5n) << 26n) | (0xe169c58dn >> 6n);
    expect(uniform(0, 0)).toBe(Number(bits) / 2 ** 53);
  });

  test("takes position and stream as counter, the seed's low and high word as key", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), word, word, (seed, position, stream) => {
        const [w0, w1] = philoxTwin(
          [position, stream, 0, 0],
          [Number(BigInt(seed) & 0xffffffffn), Number(BigInt(seed) >> 32n)],
        );
        const bits = (BigInt(w0!) >> 5n) * 2n ** 26n + (BigInt(w1!) >> 6n);
        expect(uniform(seed, position, stream)).toBe(Number(bits) / 2 ** 53);
        expect(uniform(seed, position)).toBe(uniform(seed, position, 0));
      }),
    );
  });

  test("fills [0, 1) evenly over positions and over seeds", () => {
    const bins = 64;
    const draws = 64 * 200;
    for (const draw of [(i: number) => uniform(42, i), (i: number) => uniform(i, 7)]) {
      const counts = new Array<number>(bins).fill(0);
      for (let i = 0; i < draws; i++) counts[Math.floor(draw(i) * bins)]!++;
      const chiSquare = counts.reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0);
      // 63 degrees of freedom: 0.1 % lie above 103.4, 0.1 % below 34.
      expect(chiSquare).toBeLessThan(103.4);
      expect(chiSquare).toBeGreaterThan(34);
    }
  });
});

test("random seeds are different integers of up to 53 bits", () => {
  const seeds = Array.from({ length: 100 }, randomSeed);
  for (const seed of seeds) expect(Number.isSafeInteger(seed) && seed >= 0).toBe(true);
  expect(new Set(seeds).size).toBe(seeds.length);
  // All 100 below 2^46 would happen once in 2^700.
  expect(Math.max(...seeds)).toBeGreaterThan(2 ** 46);
});
