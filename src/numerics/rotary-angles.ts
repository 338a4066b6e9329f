/** Cosines and sines of rotary positions (Su et al., arXiv:2104.09864): what a row's position does to its queries and keys. */
import { cos, sin } from "./sine-cosine.js";

/** What each pair of values turns by a position. */
interface Rotation {
  /** f32 values. */
  readonly frequencies: readonly number[];
  /** Factor on cosines and sines, an f32 value. */
  readonly factor: number;
}

/**
 * Writes one row of angles: `out` (d) = cosines (d/2) | sines (d/2), d/2 of which there are frequencies.
 *
 * Each is `fround(cos(position · frequency) · factor)`: the product with the position is exact, since it has
 * 20 + 24 bits; cosine, sine and the factor are f64, and the result rounds once to f32.
 *
 * @param position 0 … 2²⁰
 */
export function fillAngles(out: Float32Array, position: number, { frequencies, factor }: Rotation): void {
  const half = frequencies.length;
  for (let i = 0; i < half; i++) {
    const angle = position * frequencies[i]!;
    out[i] = cos(angle) * factor;
    out[half + i] = sin(angle) * factor;
  }
}
