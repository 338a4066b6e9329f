/**
 * The spellings of a config's settings of rotary positions, read as one. Newer files have `rope_parameters`: one object, or
 * one for each type of layer; older ones have `rope_theta` and `rope_scaling`. Which of two wins is as in Hugging Face
 * transformers 5.
 */
import * as v from "valibot";
import { modelFileInvalid, modelUnsupported } from "../errors.js";
import { flag, numberAbove, numberFrom, readFields, text } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import { quoteValue } from "../quote-value.js";
import { size } from "./family-fields.js";

/** How a family's files spell the settings of one rotation. */
export interface RotarySpelling {
  /** Another name of `rope_theta` in older files: `rotary_emb_base`. */
  readonly thetaField?: string;
  /** Another name of `partial_rotary_factor` in older files: `rotary_pct`. */
  readonly partialField?: string;
  /** Where layers of different types turn differently (Gemma 3): the type of layer that is asked about. */
  readonly layerType?: string;
  /** False where the older `rope_scaling` is not about these layers. */
  readonly isScaled?: boolean;
  /** True where old files call longrope `yarn` (Phi-3). */
  readonly yarnIsLongrope?: boolean;
}

const ROTARY_TYPES = ["default", "linear", "llama3", "yarn", "longrope", "dynamic"] as const;

/** The settings that count, under their newer names. */
export interface RotarySettings {
  readonly fileName: string;
  readonly type: (typeof ROTARY_TYPES)[number];
  readonly fields: v.InferOutput<typeof FIELDS>;
  /** What the file calls a setting, or would call it: `rope_scaling.factor`. */
  readonly nameInFile: (field: string) => string;
}

const FIELDS = v.object({
  rope_type: v.optional(text()),
  type: v.optional(text()),
  rope_theta: v.optional(numberAbove(1, 1e15)),
  partial_rotary_factor: v.optional(numberAbove(0, 1)),
  original_max_position_embeddings: v.optional(size.context()),
  factor: v.optional(numberAbove(0, 1e6)),
  attention_factor: v.optional(numberAbove(0, 1e6)),
  low_freq_factor: v.optional(numberAbove(0, 1e6)),
  high_freq_factor: v.optional(numberAbove(0, 1e6)),
  beta_fast: v.optional(numberFrom(0, 1e6)),
  beta_slow: v.optional(numberFrom(0, 1e6)),
  mscale: v.optional(numberFrom(0, 1e3)),
  mscale_all_dim: v.optional(numberFrom(0, 1e3)),
  truncate: v.optional(flag()),
  short_factor: v.optional(factorsOfPairs()),
  long_factor: v.optional(factorsOfPairs()),
});

function factorsOfPairs() {
  const error = "a list of numbers above 0 and at most 1000000";
  return v.array(v.pipe(v.number(error), v.gtValue(0, error), v.maxValue(1e6, error)), error);
}

/** Settings that tell how a model was made and change nothing. */
const IGNORED = ["finetuned"];

/** Keys of `rope_parameters` where each type of layer has settings of its own. */
const LAYER_TYPES = ["full_attention", "sliding_attention"];

/** Settings by their newer names: value, and where the file has it. */
type Stated = Map<string, { readonly value: unknown; readonly name: string }>;

/**
 * @param object all of `config.json`
 * @throws LastrowError `model_file_invalid`, naming the field; `model_unsupported` for a type or a setting that is not run
 */
export function readRotarySettings(
  object: JsonObject,
  fileName: string,
  spelling: RotarySpelling,
): RotarySettings {
  const stated = ownSettings(object, fileName, spelling);
  for (const [field, { value, name }] of stated) {
    if (Object.hasOwn(FIELDS.entries, field) || IGNORED.includes(field)) continue;
    throw modelUnsupported(
      `${fileName}: ${name} is ${quoteValue(value)}; this setting of rotary positions is not run.`,
    );
  }
  const outside = (field: string, name: string): void => {
    if (isStated(object[name])) stated.set(field, { value: object[name], name });
  };
  const { thetaField = "rope_theta", partialField } = spelling;
  if (!stated.has("rope_theta")) outside("rope_theta", thetaField);
  outside("original_max_position_embeddings", "original_max_position_embeddings");
  for (const name of [partialField, "partial_rotary_factor"]) {
    if (name === undefined) continue;
    const before = stated.get("partial_rotary_factor");
    if (before !== undefined && isStated(object[name]) && before.value !== object[name]) {
      throw modelFileInvalid(
        `${fileName}: ${before.name} is ${quoteValue(before.value)} and ${name} is ${quoteValue(object[name])}, but ` +
          "they mean the same and must be equal.",
      );
    }
    outside("partial_rotary_factor", name);
  }
  const nameInFile = (field: string) => stated.get(field)?.name ?? `${placeOf(object, spelling)}.${field}`;
  const values: JsonObject = Object.fromEntries([...stated].map(([field, { value }]) => [field, value]));
  const fields = readFields(FIELDS, values, fileName, nameInFile);
  const type = typeOf(fields, spelling);
  if (type !== null) return { fileName, type, fields, nameInFile };
  const field = fields.rope_type === undefined ? "type" : "rope_type";
  throw modelUnsupported(
    `${fileName}: ${nameInFile(field)} is ${quoteValue(fields[field])}; known are ${ROTARY_TYPES.join(", ")}.`,
  );
}

/** What `rope_scaling` or `rope_parameters` says. */
function ownSettings(
  object: JsonObject,
  fileName: string,
  { layerType, isScaled = true }: RotarySpelling,
): Stated {
  const scaling = settingsIn(object, "rope_scaling", fileName);
  const parameters = settingsIn(object, "rope_parameters", fileName);
  const isByType = [...parameters.keys()].some((key) => LAYER_TYPES.includes(key));
  if (layerType === undefined) {
    if (isByType) {
      throw modelUnsupported(
        `${fileName}: rope_parameters has settings for each type of layer; in this model all layers turn alike.`,
      );
    }
    // An empty object says nothing.
    return scaling.size > 0 ? scaling : parameters;
  }
  if (parameters.size > 0 && !isByType) {
    throw modelFileInvalid(
      `${fileName}: rope_parameters must have an object for each type of layer: ${LAYER_TYPES.join(", ")}.`,
    );
  }
  const ofLayers = parameters.get(layerType);
  const own: Stated =
    ofLayers === undefined
      ? new Map()
      : settingsIn({ [ofLayers.name]: ofLayers.value }, ofLayers.name, fileName);
  return new Map([...own, ...(isScaled ? scaling : [])]);
}

function settingsIn(object: JsonObject, name: string, fileName: string): Stated {
  const value = object[name];
  if (!isStated(value)) return new Map();
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw modelFileInvalid(`${fileName}: ${name} is ${quoteValue(value)}, but must be an object, or null.`);
  }
  const stated = Object.entries(value).filter(([, setting]) => isStated(setting));
  return new Map(stated.map(([field, setting]) => [field, { value: setting, name: `${name}.${field}` }]));
}

function isStated(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Where a setting belongs that the file does not have. */
function placeOf(object: JsonObject, { layerType }: RotarySpelling): string {
  if (!isStated(object.rope_parameters)) return "rope_scaling";
  return layerType === undefined ? "rope_parameters" : `rope_parameters.${layerType}`;
}

function typeOf(
  { rope_type, type }: RotarySettings["fields"],
  { yarnIsLongrope = false }: RotarySpelling,
): RotarySettings["type"] | null {
  const stated = rope_type ?? type ?? "default";
  if (stated === "su" || (stated === "yarn" && yarnIsLongrope)) return "longrope";
  return ROTARY_TYPES.find((known) => known === stated) ?? null;
}
