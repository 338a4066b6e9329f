/**
 * The best token of a row of logits or scores.
 */

/** What `argmax` found. */
export interface Argmax {
  /** The id of the largest value, the lowest among equals; of the first NaN or +Infinity if there is one. */
  readonly token: number;
  /** False when there is a NaN or a +Infinity. */
  readonly ordered: boolean;
}

/**
 * One pass over a row. Values of −Infinity are allowed; a row of nothing else gives token 0.
 * @param values (V) f32, at least one; not changed
 */
export function argmax(values: Float32Array): Argmax {
  let token = 0;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    // Written so that NaN, which fails every comparison, is caught.
    if (!(value < Number.POSITIVE_INFINITY)) return { token: i, ordered: false };
    if (value > max) {
      max = value;
      token = i;
    }
  }
  return { token, ordered: true };
}
