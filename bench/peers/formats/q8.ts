/** Q8_0 of GGUF. */

/** Elements that share a scale in Q8_0. */
const Q8_0_GROUP = 32;

/**
 * Q8_0, as ggml's reference quantiser makes it: for each 32 elements a scale in binary16, the largest magnitude
 * divided by 127, and then the elements divided by the unrounded scale, rounded half away from zero.
 */
export function quantiseQ8(data: Float32Array): Uint8Array {
  const groups = data.length / Q8_0_GROUP;
  const result = new Uint8Array(groups * (2 + Q8_0_GROUP));
  const view = new DataView(result.buffer);
  for (let g = 0; g < groups; g++) {
    const group = data.subarray(g * Q8_0_GROUP, (g + 1) * Q8_0_GROUP);
    const scale = largestMagnitude(group) / 127;
    const inverse = scale === 0 ? 0 : 1 / scale;
    const at = g * (2 + Q8_0_GROUP);
    view.setUint16(at, toF16(scale), true);
    for (let i = 0; i < Q8_0_GROUP; i++) {
      const value = group[i]! * inverse;
      view.setInt8(at + 2 + i, Math.sign(value) * Math.floor(Math.abs(value) + 0.5));
    }
  }
  return result;
}

/** The largest absolute value; 0 of none. */
export function largestMagnitude(values: Float32Array): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return largest;
}

/** The bits of the binary16 nearest to a positive number that is neither large nor subnormal there; 0 below that. */
export function toF16(value: number): number {
  if (value < 2 ** -14) return 0;
  const exponent = Math.floor(Math.log2(value));
  const mantissa = Math.round((value / 2 ** exponent - 1) * 1024);
  return ((exponent + 15) << 10) + mantissa;
}
