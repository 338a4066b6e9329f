/** Which layers see a window of keys: by `layer_types`, or by the family's rule, and by `sliding_window`. */
import * as v from "valibot";
import { modelFileInvalid, modelUnsupported } from "../errors.js";
import { flag, wholeNumber } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import { quoteValue } from "../quote-value.js";

const TYPES = ["full_attention", "sliding_attention"] as const;
type LayerType = (typeof TYPES)[number];

/** `sliding_window`: keys that a query sees, its own among them; null: all. For a schema. */
export const slidingWindow = (byDefault: number | null) =>
  v.optional(v.nullable(wholeNumber(1, 2 ** 31 - 1)), byDefault);

/** What windows are decided by, besides `layer_types`. */
interface WindowSettings {
  readonly num_hidden_layers: number;
  /** `sliding_window`; null: the file has none, or does not use it. */
  readonly window: number | null;
}

/**
 * The window of each layer; null for one that sees all keys.
 * @param hasWindow the family's rule for layer i, counted from 0, where a file has no `layer_types`
 * @throws LastrowError `model_file_invalid` for `layer_types` that do not fit; `model_unsupported` for other types
 */
export function readWindows(
  object: JsonObject,
  { num_hidden_layers, window }: WindowSettings,
  hasWindow: (i: number) => boolean,
  fileName: string,
): (number | null)[] {
  const types = readLayerTypes(object, num_hidden_layers, fileName);
  if (types?.includes("sliding_attention") && window === null) {
    throw modelFileInvalid(
      `${fileName}: layer_types has "sliding_attention", but no sliding_window is in use.`,
    );
  }
  return Array.from({ length: num_hidden_layers }, (_, i) => {
    const isWindowed = types === null ? hasWindow(i) : types[i] === "sliding_attention";
    return isWindowed ? window : null;
  });
}

/** The fields of `readLaterWindows`, as entries of a schema. */
export function laterWindowFields() {
  return {
    use_sliding_window: v.optional(flag(), false),
    sliding_window: slidingWindow(4096),
    max_window_layers: v.optional(wholeNumber(0, 2 ** 31 - 1), 28),
  };
}

interface LaterWindowSettings {
  readonly num_hidden_layers: number;
  readonly use_sliding_window: boolean;
  readonly sliding_window: number | null;
  readonly max_window_layers: number;
}

/** Qwen's windows: only where `use_sliding_window` says so, and by default from layer `max_window_layers` on. */
export function readLaterWindows(
  object: JsonObject,
  fields: LaterWindowSettings,
  fileName: string,
): (number | null)[] {
  const window = fields.use_sliding_window ? fields.sliding_window : null;
  return readWindows(object, { ...fields, window }, (i) => i >= fields.max_window_layers, fileName);
}

/**
 * The one window of a family in which transformers does not look at `layer_types`: they must say the same.
 * @throws LastrowError as `readWindows`
 */
export function readSameWindow(
  object: JsonObject,
  { num_hidden_layers, window }: WindowSettings,
  fileName: string,
): number | null {
  const expected: LayerType = window === null ? "full_attention" : "sliding_attention";
  const types = readLayerTypes(object, num_hidden_layers, fileName);
  if (types === null || types.every((type) => type === expected)) return window;
  const other = TYPES.find((type) => type !== expected);
  throw modelUnsupported(
    `${fileName}: layer_types has ${quoteValue(other)}; all layers of this family are run as ${quoteValue(expected)}.`,
  );
}

function readLayerTypes(
  { layer_types: value }: JsonObject,
  count: number,
  fileName: string,
): LayerType[] | null {
  if (value === undefined || value === null) return null;
  if (!Array.isArray(value) || value.length !== count) {
    throw modelFileInvalid(
      `${fileName}: layer_types is ${quoteValue(value)}, but must be a list of ${count}, one type for each layer.`,
    );
  }
  return value.map((type) => {
    const known = TYPES.find((name) => name === type);
    if (known !== undefined) return known;
    throw modelUnsupported(
      `${fileName}: layer_types has ${quoteValue(type)}; known are ${TYPES.map(quoteValue).join(" and ")}.`,
    );
  });
}
