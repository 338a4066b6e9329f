/**
 * From a config's settings of rotary positions to what the forward pass needs: frequencies, a factor, and the length of
 * context that they are for. The spellings are read in rotary-fields.ts; the formulas are in rotary-frequencies.ts.
 */
import { invalidArgument, modelFileInvalid, modelUnsupported } from "../errors.js";
import type { JsonObject } from "../formats/strict-json.js";
import type { ModelConfig } from "../model/config.js";
import type { RotationSpec } from "../model/decoder-spec.js";
import { LARGEST_ANGLE } from "../numerics/sine-cosine.js";
import { type ConfigSetting, MAX_CONTEXT_LENGTH, type WantedContext } from "./architecture.js";
import { readContextLength } from "./family-fields.js";
import { type RotarySettings, type RotarySpelling, readRotarySettings } from "./rotary-fields.js";
import {
  llama3Frequencies,
  longropeFactor,
  plainFrequencies,
  yarnFactor,
  yarnFrequencies,
} from "./rotary-frequencies.js";

/** A family's rotation, as far as the rest of its file says. */
export interface RotaryFamily extends RotarySpelling {
  readonly headDim: number;
  /** `max_position_embeddings`. */
  readonly maxPositions: number;
  /** `rope_theta` where the file has none. */
  readonly theta: number;
  /**
   * The part of each head that turns where the file does not say. Without it heads turn whole, and a file that says
   * otherwise is refused.
   */
  readonly partial?: number;
}

/** A rotation, and how long the sequences may be that it is for. */
export interface Rotary extends Pick<ModelConfig, "contextLength" | "maxContextLength" | "rotaryTable"> {
  readonly rotation: RotationSpec;
}

/** Radians a position: up to there the angle of every position can be computed. */
const LARGEST_FREQUENCY = LARGEST_ANGLE / MAX_CONTEXT_LENGTH;

/**
 * Reads one rotation: that of the whole model, or of one type of its layers.
 *
 * `longrope` has two tables of frequencies, and a model is loaded with one: its original length and the short table, or
 * the long one where a longer context is asked for. `dynamic` is run up to the length where it begins to change angles.
 *
 * @param object all of `config.json`
 * @throws LastrowError `model_file_invalid`, naming the field; `model_unsupported` for settings that are not run;
 *   `invalid_argument` for a context that the model was not made for
 */
export function readRotation(
  object: JsonObject,
  fileName: string,
  family: RotaryFamily,
  setting: ConfigSetting,
): Rotary {
  const settings = readRotarySettings(object, fileName, family);
  const { fields, type } = settings;
  const { maxPositions } = family;
  const theta = fields.rope_theta ?? family.theta;
  const original = fields.original_max_position_embeddings ?? maxPositions;
  const plain = divided(plainFrequencies(theta, turningWidth(settings, family)), setting, fileName);
  const rotary = (frequencies: readonly number[], factor = 1, longest = maxPositions): Rotary => ({
    rotation: rotationSpec(settings, frequencies, factor),
    contextLength: readContextLength(longest, setting),
    maxContextLength: longest,
    rotaryTable: null,
  });
  switch (type) {
    case "default":
      return rotary(plain);
    case "linear": {
      const factor = required(settings, "factor");
      return rotary(plain.map((frequency) => frequency / factor));
    }
    case "dynamic": {
      required(settings, "factor");
      expectUnscaled(setting, maxPositions, fileName);
      return rotary(plain);
    }
    case "llama3": {
      const factor = required(settings, "factor");
      const low = required(settings, "low_freq_factor");
      const high = required(settings, "high_freq_factor");
      expectOrder(settings, "low_freq_factor", low, "high_freq_factor", high);
      return rotary(llama3Frequencies(plain, { factor, low, high, original }));
    }
    case "yarn": {
      const factor = fields.factor ?? maxPositions / original;
      // 0 counts as not stated.
      const betaFast = fields.beta_fast || 32;
      const betaSlow = fields.beta_slow || 1;
      expectOrder(settings, "beta_slow", betaSlow, "beta_fast", betaFast);
      const ramp = { theta, factor, original, betaFast, betaSlow, truncate: fields.truncate ?? true };
      const scale = fields.attention_factor ?? yarnFactor(factor, fields.mscale, fields.mscale_all_dim);
      // Some files state the length before it was stretched.
      const stretched = Math.min(Math.floor(factor * original), MAX_CONTEXT_LENGTH);
      return rotary(yarnFrequencies(plain, ramp), scale, Math.max(maxPositions, stretched));
    }
    case "longrope": {
      const { contextLength = Math.min(original, maxPositions) } = setting;
      const short = factorsOfPairs(settings, "short_factor", plain.length);
      const long = factorsOfPairs(settings, "long_factor", plain.length);
      const isLong = contextLength > original;
      const frequencies = plain.map((frequency, i) => frequency / (isLong ? long : short)[i]!);
      const scale =
        fields.attention_factor ?? longropeFactor(fields.factor ?? maxPositions / original, original);
      return {
        rotation: rotationSpec(settings, frequencies, scale),
        contextLength: readContextLength(maxPositions, { contextLength }),
        maxContextLength: maxPositions,
        rotaryTable: isLong ? "long" : "short",
      };
    }
  }
}

/** @throws LastrowError `model_file_invalid` where the divisors are not as many */
function divided(
  frequencies: readonly number[],
  { frequencyDivisors }: ConfigSetting,
  fileName: string,
): readonly number[] {
  if (frequencyDivisors === undefined) return frequencies;
  if (frequencyDivisors.length !== frequencies.length) {
    throw modelFileInvalid(
      `${fileName} has ${frequencyDivisors.length} divisors of rotary frequencies, but must have ${frequencies.length}: ` +
        "one for each pair of values that turns.",
    );
  }
  return frequencies.map((frequency, i) => frequency / frequencyDivisors[i]!);
}

/** f64 frequencies and factor, rounded to f32 once. */
function rotationSpec(
  { fileName }: RotarySettings,
  frequencies: readonly number[],
  factor: number,
): RotationSpec {
  const largest = frequencies.find((frequency) => !(frequency <= LARGEST_FREQUENCY));
  if (largest !== undefined) {
    throw modelUnsupported(
      `${fileName}: its rotary positions turn by ${largest} radians a position; at most ${LARGEST_FREQUENCY} are run.`,
    );
  }
  const rounded = Math.fround(factor);
  if (!(rounded > 0 && rounded < Infinity)) {
    throw modelFileInvalid(`${fileName}: its rotary positions would be multiplied by ${factor}.`);
  }
  return { frequencies: frequencies.map(Math.fround), factor: rounded };
}

/** How many values of each head turn. */
function turningWidth(
  { fileName, fields, nameInFile }: RotarySettings,
  { headDim, partial }: RotaryFamily,
): number {
  const stated = fields.partial_rotary_factor;
  if (partial === undefined && stated !== undefined && stated !== 1) {
    throw modelUnsupported(
      `${fileName}: ${nameInFile("partial_rotary_factor")} is ${stated}; in this model heads turn whole.`,
    );
  }
  const width = Math.trunc(headDim * (stated ?? partial ?? 1));
  if (width >= 2 && width % 2 === 0) return width;
  throw modelFileInvalid(
    `${fileName}: of each head's ${headDim} values ${width} would turn by the position, but they turn in pairs.`,
  );
}

function required(
  { fileName, type, fields, nameInFile }: RotarySettings,
  field: "factor" | "low_freq_factor" | "high_freq_factor",
): number {
  const value = fields[field];
  if (value !== undefined) return value;
  throw modelFileInvalid(`${fileName} has no ${nameInFile(field)}; a rotation of type ${type} needs it.`);
}

function expectOrder(
  { fileName, nameInFile }: RotarySettings,
  lowField: string,
  low: number,
  highField: string,
  high: number,
): void {
  if (low < high) return;
  throw modelFileInvalid(
    `${fileName}: ${nameInFile(lowField)} is ${low}, but must be below ${nameInFile(highField)}, which is ${high}.`,
  );
}

function factorsOfPairs(
  { fileName, fields, nameInFile }: RotarySettings,
  field: "short_factor" | "long_factor",
  pairs: number,
): readonly number[] {
  const factors = fields[field];
  if (factors?.length === pairs) return factors;
  const stated = factors === undefined ? "no numbers" : `${factors.length} numbers`;
  throw modelFileInvalid(
    `${fileName}: ${nameInFile(field)} has ${stated}, but must have ${pairs}: one for each pair of values that turns.`,
  );
}

/** Beyond `max_position_embeddings` dynamic frequencies depend on the length of the text. */
function expectUnscaled({ contextLength }: WantedContext, maxPositions: number, fileName: string): void {
  if (contextLength === undefined || contextLength <= maxPositions) return;
  throw invalidArgument(
    `A context of ${contextLength} tokens is asked for, but ${fileName} has a rotation of type dynamic: beyond ` +
      `${maxPositions} tokens every key would depend on how long the text is, which no cache can keep.`,
  );
}
