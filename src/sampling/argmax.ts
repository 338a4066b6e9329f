/**
 * The best token of a row of logits or scores.
 */

import { STRETCH } from "../kernels/kernels.js";
import { stretchMaxima } from "../kernels/reference/stretch-maxima.js";

/** What `argmax` found. */
export interface Argmax {
  /** The id of the largest value, the lowest among equals; of the first NaN or +Infinity if there is one. */
  readonly token: number;
  /** False when there is a NaN or a +Infinity. */
  readonly ordered: boolean;
}

/**
 * Looks at the best of each stretch, and then into one. Values of −Infinity are allowed; a row of nothing else gives
 * token 0.
 * @param values (V) f32, at least one; not changed
 * @param maxima (⌈V / STRETCH⌉) `Kernels.stretchMaxima` of them, where they are known
 */
export function argmax(values: Float32Array, maxima = stretchMaxima(values)): Argmax {
  let best = 0;
  for (let s = 0; s < maxima.length; s++) {
    // Written so that NaN, which fails every comparison, is caught.
    if (!(maxima[s]! < Number.POSITIVE_INFINITY)) {
      let token = s * STRETCH;
      while (values[token]! < Number.POSITIVE_INFINITY) token++;
      return { token, ordered: false };
    }
    if (maxima[s]! > maxima[best]!) best = s;
  }
  return { token: values.indexOf(maxima[best]!, best * STRETCH), ordered: true };
}
