/** The largest value of each stretch of a row. */
import { STRETCH } from "../kernels.js";

/**
 * @param values (C) f32, not changed
 * @param maxima (⌈C / STRETCH⌉) where to write them
 * @returns `maxima`: the largest of every `STRETCH` values, of fewer at the end; NaN where one of them is NaN
 */
export function stretchMaxima(
  values: Float32Array,
  maxima: Float32Array = new Float32Array(Math.ceil(values.length / STRETCH)),
): Float32Array {
  for (let s = 0; s < maxima.length; s++) {
    const end = Math.min((s + 1) * STRETCH, values.length);
    let largest = Number.NEGATIVE_INFINITY;
    // Math.max keeps NaN.
    for (let i = s * STRETCH; i < end; i++) largest = Math.max(largest, values[i]!);
    maxima[s] = largest;
  }
  return maxima;
}
