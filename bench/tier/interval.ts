/** Medians of few values, with how sure they are. */

export interface MedianInterval {
  readonly median: number;
  /** The true median lies between with a probability of 95 % or more, whatever the distribution is. */
  readonly from: number;
  readonly to: number;
}

/**
 * The median and its interval by order statistics: of n values the k-th from either end, k as large as 95 % allow.
 * @param values six or more, or the interval is that of all values, and less sure
 */
export function medianInterval(values: readonly number[]): MedianInterval {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  // Half of it outside on each side: the probability that fewer than k of n values lie below the median.
  let outside = 0.5 ** n;
  let k = 0;
  for (let next = outside; k + 1 < n / 2; k++) {
    next = (next * (n - k)) / (k + 1);
    if (2 * (outside + next) > 0.05) break;
    outside += next;
  }
  const middle = (n - 1) / 2;
  return {
    median: (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2,
    from: sorted[k],
    to: sorted[n - 1 - k],
  };
}
