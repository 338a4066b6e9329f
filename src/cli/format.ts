/** Numbers as people read them. */

/** `1,234,567` */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** `0.42 ms`, `4.21 ms`, `42.1 ms`, `421 ms`, `4.21 s`, `42.1 s`, `421 s` */
export function formatDuration(ms: number): string {
  const [value, unit] = ms < 999.5 ? [ms, "ms"] : [ms / 1000, "s"];
  const decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(decimals)} ${unit}`;
}

/** A probability as a percentage of three significant digits, four near certainty: `42.1 %`, `0.0312 %`, `99.98 %`. */
export function formatProbability(probability: number): string {
  const percent = probability * 100;
  if (percent === 0) return "0 %";
  if (percent < 0.0001) return "< 0.0001 %";
  return `${percent < 99.95 ? percent.toPrecision(3) : percent.toFixed(2)} %`;
}
