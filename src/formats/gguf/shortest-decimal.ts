/**
 * An f32 as the decimal that its maker wrote down: 0.00001, not 0.000009999999747378752. So what a GGUF file says in 32 bits
 * is the number that a `config.json` has in its digits.
 */

/** Significant digits that tell every f32 from its neighbours. */
const MAX_DIGITS = 9;

/**
 * The number of fewest significant decimal digits that rounds to `value` as f32.
 * @param value an f32; what is not finite, and 0, comes back as it is
 */
export function shortestDecimal(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  for (let digits = 1; digits < MAX_DIGITS; digits++) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    const nearest = Number(`${mantissa}e${exponent}`);
    if (Math.fround(nearest) === value) return nearest;
    // A power of two has more room above it than below: the nearest decimal may miss it where the next one does not.
    const next = Number(
      `${Number(mantissa!.replace(".", "")) + Math.sign(value)}e${Number(exponent) - digits + 1}`,
    );
    if (Math.fround(next) === value) return next;
  }
  return Number(value.toPrecision(MAX_DIGITS));
}
