/**
 * The frequencies of rotary positions, in f64, and the factor on cosine and sine: what the types of scaling do to the
 * plain ones. Formulas as in Hugging Face transformers (`modeling_rope_utils.py`), with our own powers and logarithms.
 */
import { log } from "../numerics/math.js";
import { power } from "../numerics/power.js";

/** theta^(−2i/width) for i < width/2: Su et al., arXiv:2104.09864. */
export function plainFrequencies(theta: number, width: number): number[] {
  return Array.from({ length: width / 2 }, (_, i) => 1 / power(theta, (2 * i) / width));
}

/** Llama 3.1's: long waves are stretched by `factor`, short ones stay, and those between pass from one to the other. */
export function llama3Frequencies(
  plain: readonly number[],
  {
    factor,
    low,
    high,
    original,
  }: {
    readonly factor: number;
    /** Waves that fit into `original` positions fewer times than this are stretched. */
    readonly low: number;
    /** Those that fit in more often than this stay. */
    readonly high: number;
    readonly original: number;
  },
): number[] {
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return frequency / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** Between which pairs yarn passes from plain to stretched. */
export interface YarnRamp {
  readonly theta: number;
  readonly factor: number;
  readonly original: number;
  /** Turns within `original` positions from which a frequency stays plain. */
  readonly betaFast: number;
  /** Turns up to which it is wholly stretched. */
  readonly betaSlow: number;
  /** Whether the ramp begins and ends at whole pairs. */
  readonly truncate: boolean;
}

/** Peng et al., "YaRN", arXiv:2309.00071. */
export function yarnFrequencies(plain: readonly number[], ramp: YarnRamp): number[] {
  const width = 2 * plain.length;
  /** The pair, as a fraction, that makes so many turns within `original` positions. */
  const pairOf = (turns: number) =>
    (width * log(ramp.original / (turns * 2 * Math.PI))) / (2 * log(ramp.theta));
  const first = pairOf(ramp.betaFast);
  const last = pairOf(ramp.betaSlow);
  const from = Math.max(ramp.truncate ? Math.floor(first) : first, 0);
  let to = Math.min(ramp.truncate ? Math.ceil(last) : last, width - 1);
  if (to === from) to += 0.001;
  return plain.map((frequency, i) => {
    const stretched = Math.max(Math.min((i - from) / (to - from), 1), 0);
    return (frequency / ramp.factor) * stretched + frequency * (1 - stretched);
  });
}

/** Yarn's factor on cosine and sine; `mscale` and `mscaleAllDim` count where both are there and not 0. */
export function yarnFactor(
  factor: number,
  mscale: number | undefined,
  mscaleAllDim: number | undefined,
): number {
  const of = (scale: number) => (factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1);
  return mscale && mscaleAllDim ? of(mscale) / of(mscaleAllDim) : of(1);
}

/** Longrope's factor on cosine and sine: Ding et al., arXiv:2402.13753. */
export function longropeFactor(factor: number, original: number): number {
  return factor <= 1 ? 1 : Math.sqrt(1 + log(factor) / log(original));
}
