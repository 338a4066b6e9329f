/**
 * Rotary positions in a GGUF file: keys, and tensors with factors of the frequencies, as the fields of `config.json` that
 * the reader of rotations knows.
 */
import { modelFileInvalid } from "../../errors.js";
import { shortestDecimal } from "../../formats/gguf/shortest-decimal.js";
import type { ArchitectureKeys } from "./architecture-keys.js";
import type { Sizes } from "./common-keys.js";

/** The tensors: what a pair's frequency is divided by. */
export const ROTARY_TENSORS = {
  /** For all lengths of context: Llama 3. */
  all: "rope_freqs.weight",
  /** Longrope's two tables. */
  short: "rope_factors_short.weight",
  long: "rope_factors_long.weight",
} as const;

/** More than any head has pairs of values. */
export const MAX_FACTORS = 65_536;

/** Their values; null: the file does not have it. */
export type RotaryFactors = Readonly<Record<keyof typeof ROTARY_TENSORS, readonly number[] | null>>;

export interface RotaryOptions {
  /** Fields that a family calls otherwise. */
  readonly thetaField?: string;
  /** What the family calls the part of a head that turns; null: heads turn whole. */
  readonly partialField?: string | null;
}

/**
 * States the rotation. Without a base it is 10,000, whatever the family's own default: files of some architectures never
 * have it.
 * @throws LastrowError `model_file_invalid`, `model_unsupported`
 */
export function readRotary(
  keys: ArchitectureKeys,
  { headDim }: Sizes,
  factors: RotaryFactors,
  { thetaField = "rope_theta", partialField = null }: RotaryOptions = {},
): void {
  keys.state(thetaField, keys.float("rope.freq_base") ?? 10_000, "rope.freq_base");
  const width = turningWidth(keys, headDim, partialField !== null);
  // A part that cuts to the width whatever the rounding.
  if (width < headDim) keys.state(partialField!, (width + 0.5) / headDim, "rope.dimension_count");
  else if (partialField !== null) keys.state(partialField, 1, "rope.dimension_count");
  keys.state("rope_scaling", scaling(keys, factors), "rope.scaling.type");
}

/** How many values of each head turn. */
function turningWidth(keys: ArchitectureKeys, headDim: number, mayBePart: boolean): number {
  const key = "rope.dimension_count";
  const width = keys.wholeNumber(key) ?? headDim;
  if (width % 2 !== 0 || width < 2 || width > headDim) {
    throw modelFileInvalid(
      `${keys.fileName}: ${keys.nameOf(key)} is ${width}, but must be an even number from 2 to ${headDim}, the width of a head.`,
    );
  }
  if (width < headDim && !mayBePart) {
    keys.refuse(key, width, `in this model heads turn whole, all of their ${headDim} values`);
  }
  return width;
}

/** What `rope_scaling` would be. */
function scaling(keys: ArchitectureKeys, { short, long }: RotaryFactors): Record<string, unknown> | null {
  const typeKey = "rope.scaling.type";
  // Of the oldest files.
  const linear = keys.float("rope.scale_linear");
  const stated = keys.float("rope.scaling.factor");
  keys.place(
    "rope_scaling.factor",
    stated === null && linear !== null ? "rope.scale_linear" : "rope.scaling.factor",
  );
  // Some writers state 0 for none.
  const factor = stated || linear || null;
  const type = keys.text(typeKey) ?? (short !== null || long !== null ? "longrope" : "linear");
  const original = keys.wholeNumber("rope.scaling.original_context_length");
  const attention = keys.float("rope.scaling.attn_factor");
  const yarn = readYarn(keys);
  keys.placeTensor("rope_scaling.short_factor", ROTARY_TENSORS.short);
  keys.placeTensor("rope_scaling.long_factor", ROTARY_TENSORS.long);
  for (const [setting, key] of SETTINGS) keys.place(`rope_scaling.${setting}`, key);
  if (type !== "longrope" && attention !== null && attention !== 1) {
    keys.refuse("rope.scaling.attn_factor", attention, `a rotation of type ${type} is run without it`);
  }
  switch (type) {
    case "none":
      return null;
    case "linear":
      return factor === null || factor === 1 ? null : { type, factor };
    case "yarn":
      return { type, factor, original_max_position_embeddings: original, ...yarn };
    case "longrope":
      // As decimals, which is how a config.json has them.
      return {
        type,
        original_max_position_embeddings: original,
        attention_factor: attention,
        short_factor: short?.map(shortestDecimal),
        long_factor: long?.map(shortestDecimal),
      };
    default:
      return keys.refuse(typeKey, type, "known are none, linear, yarn and longrope");
  }
}

const SETTINGS = [
  ["original_max_position_embeddings", "rope.scaling.original_context_length"],
  ["attention_factor", "rope.scaling.attn_factor"],
  ["beta_fast", "rope.scaling.yarn_beta_fast"],
  ["beta_slow", "rope.scaling.yarn_beta_slow"],
] as const;

function readYarn(keys: ArchitectureKeys): Record<string, number | null> {
  const extrapolation = keys.float("rope.scaling.yarn_ext_factor");
  if (extrapolation !== null && extrapolation !== 1) {
    keys.refuse("rope.scaling.yarn_ext_factor", extrapolation, "yarn is run without it, as with 1");
  }
  return {
    attention_factor: keys.float("rope.scaling.yarn_attn_factor"),
    beta_fast: keys.float("rope.scaling.yarn_beta_fast"),
    beta_slow: keys.float("rope.scaling.yarn_beta_slow"),
  };
}

/** @throws LastrowError `model_file_invalid` for a factor that no frequency can be divided by */
export function expectFactors(values: readonly number[], fileName: string, tensor: string): void {
  const wrong = values.find((value) => !(value > 0 && value < Infinity));
  if (wrong === undefined) return;
  throw modelFileInvalid(
    `${fileName}: tensor "${tensor}" has ${wrong}, but frequencies are divided by its values, which must be above 0.`,
  );
}
