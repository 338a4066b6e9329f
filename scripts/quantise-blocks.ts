/**
 * Q4_0 and Q4_K as llama.cpp's quantiser makes them without calibration data, in f64: to measure int4 against, not to make files
 * of. Facts of the formats and of the search are from its `ggml-quants.c`; the code is not.
 */
import { f16ToF32, f32ToF16 } from "../src/kernels/reference/half.js";

/** A row's values, a multiple of 32, as blocks of Q4_0: the value of largest magnitude becomes −8 times the scale. */
export function q4_0Blocks(values: Float32Array): Uint8Array {
  const blocks = new Uint8Array((values.length / 32) * 18);
  for (let b = 0; 32 * b < values.length; b++) {
    const block = values.subarray(32 * b, 32 * b + 32);
    const largest = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    const scale = largest / -8;
    const factor = scale === 0 ? 0 : 1 / scale;
    const bytes = blocks.subarray(18 * b, 18 * b + 18);
    setHalf(bytes, 0, scale);
    const integer = (i: number) => Math.min(Math.floor(block[i]! * factor + 8.5), 15);
    for (let i = 0; i < 16; i++) bytes[2 + i] = integer(i) | (integer(16 + i) << 4);
  }
  return blocks;
}

/** A row's values as blocks of Q4_K; it is filled up with zeros to whole blocks of 256. */
export function q4_KBlocks(values: Float32Array): Uint8Array {
  const count = Math.ceil(values.length / 256);
  const blocks = new Uint8Array(144 * count);
  for (let b = 0; b < count; b++) {
    const block = new Float32Array(256);
    block.set(values.subarray(256 * b, 256 * b + 256));
    fillQ4K(blocks.subarray(144 * b, 144 * b + 144), block);
  }
  return blocks;
}

function fillQ4K(bytes: Uint8Array, values: Float32Array): void {
  const groups = Array.from({ length: 8 }, (_, g) => values.subarray(32 * g, 32 * g + 32));
  const fits = groups.map(fitted);
  const [largestScale, largestMinimum] = [0, 1].map((i) => Math.max(...fits.map((fit) => fit[i]!)));
  const step = (value: number, largest: number) =>
    largest === 0 ? 0 : Math.min(nearest((63 / largest) * value), 63);
  const steps = fits.map(([scale]) => step(scale, largestScale!));
  const minimums = fits.map(([, minimum]) => step(minimum, largestMinimum!));
  const d = setHalf(bytes, 0, largestScale! / 63);
  const m = setHalf(bytes, 2, largestMinimum! / 63);
  for (let g = 0; g < 4; g++) {
    bytes[4 + g] = steps[g]! | ((steps[g + 4]! >> 4) << 6);
    bytes[8 + g] = minimums[g]! | ((minimums[g + 4]! >> 4) << 6);
    bytes[12 + g] = (steps[g + 4]! & 15) | ((minimums[g + 4]! & 15) << 4);
  }
  groups.forEach((group, g) => {
    const scale = d * steps[g]!;
    group.forEach((value, i) => {
      const quotient = scale === 0 ? 0 : (value + m * minimums[g]!) / scale;
      const integer = Math.max(0, Math.min(15, nearest(quotient)));
      bytes[16 + 32 * (g >> 1) + i]! |= integer << (4 * (g & 1));
    });
  });
}

/** Scale and minimum of a group: least squares, weighted by magnitude, over 21 scales. */
function fitted(values: Float32Array): [scale: number, minimum: number] {
  const rms = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
  const weights = values.map((value) => rms + Math.abs(value));
  const least = Math.min(0, ...values);
  const range = Math.max(...values) - least;
  if (range === 0) return [0, -least];
  const total = (of: (i: number) => number) => values.reduce((sum, _, i) => sum + weights[i]! * of(i), 0);
  let best = { error: Number.POSITIVE_INFINITY, scale: range / 15, offset: least };
  for (let candidate = 0; candidate <= 20; candidate++) {
    const factor = (14 + 0.1 * candidate) / range;
    const q = values.map((value) => Math.max(0, Math.min(15, nearest(factor * (value - least)))));
    const [w, x] = [total(() => 1), total((i) => values[i]!)];
    const [l, ll, lx] = [total((i) => q[i]!), total((i) => q[i]! ** 2), total((i) => q[i]! * values[i]!)];
    const spread = w * ll - l * l;
    if (spread <= 0) continue;
    let scale = (w * lx - x * l) / spread;
    let offset = (ll * x - l * lx) / spread;
    if (offset > 0) [scale, offset] = [lx / ll, 0];
    const error = total((i) => (scale * q[i]! + offset - values[i]!) ** 2);
    if (error < best.error) best = { error, scale, offset };
  }
  return [best.scale, -best.offset];
}

function nearest(value: number): number {
  return value + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;
}

/** @returns the half's value */
function setHalf(bytes: Uint8Array, at: number, value: number): number {
  const bits = f32ToF16(Math.fround(value));
  bytes[at] = bits & 0xff;
  bytes[at + 1] = bits >> 8;
  return f16ToF32(bits);
}
