/**
 * Random numbers as a pure function of a seed and a position: Philox4x32-10, the counter-based generator of Salmon,
 * Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC'11), checked against the known answers of
 * their Random123 distribution. Nothing is kept between calls, so no draw can shift another. Integer arithmetic only:
 * the same numbers on every machine.
 */

/** Multipliers of the two halves of a round. */
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
/** Added to the key after each round: the golden ratio, and √3 − 1. */
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

const TWO_32 = 2 ** 32;

/** Four 32-bit words, each an integer in 0 … 2^32 − 1. */
export type Words4 = readonly [number, number, number, number];

/** Two 32-bit words, each an integer in 0 … 2^32 − 1. */
export type Words2 = readonly [number, number];

/**
 * The block of 128 random bits that belongs to a counter and a key.
 * @param counter four 32-bit words
 * @param key two 32-bit words
 * @returns four 32-bit words, the first of Random123's output first
 */
export function philox4x32(counter: Words4, key: Words2): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const next0 = highWord(MULTIPLIER_1, c2) ^ c1 ^ k0;
    const next2 = highWord(MULTIPLIER_0, c0) ^ c3 ^ k1;
    c1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c3 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    c0 = next0 >>> 0;
    c2 = next2 >>> 0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The upper 32 bits of the 64-bit product of two 32-bit words; every step is exact in a double (below 2^49). */
function highWord(a: number, b: number): number {
  const low = a * (b & 0xffff);
  const high = a * (b >>> 16);
  return Math.floor((high + Math.floor(low / 0x10000)) / 0x10000);
}

/**
 * The uniform random number of one position: 53 random bits over 2^53, a double in [0, 1).
 * The key is the seed (low word, high word), the counter is (position, stream, 0, 0); of the block's first two words
 * w0, w1 the result is (⌊w0 / 2^5⌋ · 2^26 + ⌊w1 / 2^6⌋) / 2^53.
 * @param seed integer, 0 … 2^53 − 1
 * @param position integer, 0 … 2^32 − 1
 * @param stream integer, 0 … 2^32 − 1: independent numbers for the same position
 */
export function uniform(seed: number, position: number, stream = 0): number {
  const [w0, w1] = philox4x32([position, stream, 0, 0], [seed % TWO_32, Math.floor(seed / TWO_32)]);
  return ((w0 >>> 5) * 2 ** 26 + (w1 >>> 6)) / 2 ** 53;
}

/** A seed from the platform's cryptographic generator: an integer in 0 … 2^53 − 1, each as likely. */
export function randomSeed(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2)) as unknown as Words2;
  return (high >>> 11) * TWO_32 + low;
}
