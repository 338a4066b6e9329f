/** Numbers, and what was decided of them, as people read them. */
import type { KvBound } from "../protocol/engine-setup.js";

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

const KV_BOUNDS: Readonly<Record<KvBound, string>> = {
  asked: "as asked for",
  contexts: "the default",
  machine: "the default, as far as this machine's memory allows",
  wasm: "the default, as far as WebAssembly's memory allows",
};

/** Why K and V have the memory that they have. */
export function kvBoundWords(bound: KvBound): string {
  return KV_BOUNDS[bound];
}
