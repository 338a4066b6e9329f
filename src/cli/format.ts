/** Numbers, and what was decided of them, as people read them. */

import { WEIGHT_TYPES } from "../kernels/weight-types.js";
import type { ModelInfo } from "../library/model-info.js";
import { formatMemorySize } from "../memory-size.js";
import type { ContextBound, KvBound } from "../protocol/engine-setup.js";

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

/** What a model runs on: `2 threads, 256-bit vectors, relaxed dot products`. */
export function machineWords({
  threads,
  vectors,
  dots,
}: Pick<ModelInfo, "threads" | "vectors" | "dots">): string {
  return [
    `${threads} ${threads === 1 ? "thread" : "threads"}`,
    ...(vectors === null ? [] : [`${vectors}-bit vectors`]),
    ...(dots === "relaxed" ? ["relaxed dot products"] : []),
  ].join(", ");
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

const CONTEXT_BOUNDS: Readonly<Record<ContextBound, string>> = {
  asked: "as asked for",
  model: "the model's own default",
  kvMemory: "as far as --kv-memory allows",
  machine: "as far as this machine's free memory allows",
  wasm: "as far as WebAssembly's memory allows",
};

/** How long the context is, and why it is shorter than what the model was made for where it is. */
export function contextWords({ contextBound, config }: Pick<ModelInfo, "contextBound" | "config">): string {
  const { contextLength, maxContextLength, rotaryTable } = config;
  const table = rotaryTable === null ? "" : `; the rotary frequencies are those for ${rotaryTable} contexts`;
  if (contextLength === maxContextLength) return `${formatCount(contextLength)} tokens${table}`;
  return `${formatCount(contextLength)} of ${formatCount(maxContextLength)} tokens, ${CONTEXT_BOUNDS[contextBound]}${table}`;
}

/** What to know of weights that are not the stored values though they are floats; else null. */
export function roundingNotice({
  dtype,
  roundedTensors,
}: Pick<ModelInfo, "dtype" | "roundedTensors">): string | null {
  if (roundedTensors === 0 || WEIGHT_TYPES[dtype].scaleBytes > 0) return null;
  const tensors = roundedTensors === 1 ? "1 tensor was" : `${formatCount(roundedTensors)} tensors were`;
  return `${tensors} rounded to ${dtype}, as asked for; --dtype auto keeps the values of the files`;
}

/** What to know of a context that is shorter than what the model was made for though that was not asked for; else null. */
export function contextNotice(info: Pick<ModelInfo, "contextBound" | "config" | "kv">): string | null {
  const { contextLength, maxContextLength } = info.config;
  if (contextLength === maxContextLength || info.contextBound === "asked") return null;
  const options = info.contextBound === "model" ? "--context" : "--context, --kv-memory";
  return `context: ${contextWords(info)}; ${formatMemorySize(info.kv.bytes)} for keys and values (${options})`;
}

/** Stretches of layers that are named; of more the first ones and dots. */
const MOST_RANGES = 3;

/** `0…5`, `0…1,3`, `0,2,…`: layers in as few words as fit into a table. @param layers ascending */
export function layerRanges(layers: readonly number[]): string {
  const ranges: { readonly first: number; last: number }[] = [];
  for (const layer of layers) {
    const range = ranges[ranges.length - 1];
    if (range?.last === layer - 1) range.last = layer;
    else ranges.push({ first: layer, last: layer });
  }
  const words = ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}…${last}`));
  return words.length <= MOST_RANGES ? words.join(",") : `${words.slice(0, MOST_RANGES - 1).join(",")},…`;
}
