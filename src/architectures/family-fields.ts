/**
 * What the configs of all families have in common: sizes and their bounds, fields with two names, activations, tokens. A
 * family's file names its fields, their defaults, and what it refuses.
 */
import * as v from "valibot";
import { invalidArgument, modelFileInvalid, modelUnsupported } from "../errors.js";
import { numberFrom, readFields, tokenId, tokenIds, wholeNumber } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import { ACTIVATIONS, type Activation } from "../kernels/kernels.js";
import type { ModelConfig } from "../model/config.js";
import { quoteValue } from "../quote-value.js";
import { MAX_CONTEXT_LENGTH, type WantedContext } from "./architecture.js";

/** Widest that a residual stream is. */
const MAX_WIDTH = 15_625;
/** Widest that rows are inside attention, all heads together, and inside an MLP. */
export const WIDEST_INSIDE = 4 * MAX_WIDTH;

/**
 * Sizes, with upper bounds far above any model that fits, which keep every product of them (bytes of weights, of KV) below
 * 2^53. Those of the widths also keep 64 stored rows of a matrix, which are read together, within 16 MB: 64 · 4 · 62,500.
 */
export const size = {
  layers: () => wholeNumber(1, 4096),
  heads: () => wholeNumber(1, MAX_WIDTH),
  width: () => wholeNumber(1, MAX_WIDTH),
  innerWidth: () => wholeNumber(1, WIDEST_INSIDE),
  context: () => wholeNumber(1, MAX_CONTEXT_LENGTH),
  vocabulary: () => wholeNumber(1, 16_777_216),
};

/** A factor on something, or the square of one; what it makes of f32 values stays in f32. */
export const factor = () => numberFrom(1e-6, 1e6);

/** A cap on scores or logits; null: none. */
export const softcap = () =>
  v.pipe(
    v.nullable(factor()),
    v.transform((cap) => (cap === null ? null : Math.fround(cap))),
  );

/** ε of a norm; a smaller one would round to nothing in f32. */
export const epsilon = () => numberFrom(1e-30, 1);

/** @throws LastrowError `model_unsupported` for one that the kernels do not have */
export function activationNamed(name: string, field: string, fileName: string): Activation {
  const activation = ACTIVATIONS.find((known) => known === name);
  if (activation !== undefined) return activation;
  throw modelUnsupported(
    `${fileName}: ${field} is ${quoteValue(name)}; known are ${ACTIVATIONS.join(", ")}.`,
  );
}

/**
 * The length that a model is loaded with: what is asked for, or all that it was made for.
 * @throws LastrowError `invalid_argument` for more than that
 */
export function readContextLength(maxContextLength: number, { contextLength }: WantedContext): number {
  if (contextLength === undefined) return maxContextLength;
  if (contextLength <= maxContextLength) return contextLength;
  throw invalidArgument(
    `A context of ${contextLength} tokens is asked for, but this model was made for ${maxContextLength} at most.`,
  );
}

/** Fields under a family's own names. */
export interface NamedFields {
  readonly fields: JsonObject;
  /** What the file calls a field. */
  readonly nameInFile: (field: string) => string;
}

/**
 * The fields of a config under the family's names, and the way back to the file's own.
 * @param secondNames second name in a file → the family's name
 * @throws LastrowError `model_file_invalid` when a field comes under both of its names with different values
 */
export function resolveNames(
  object: JsonObject,
  secondNames: Readonly<Record<string, string>>,
  fileName: string,
): NamedFields {
  const fields: JsonObject = Object.assign(Object.create(null), object);
  const namesInFile = new Map<string, string>();
  for (const [second, first] of Object.entries(secondNames)) {
    if (!Object.hasOwn(object, second)) continue;
    if (Object.hasOwn(object, first) && object[first] !== object[second]) {
      throw modelFileInvalid(
        `${fileName}: ${first} is ${quoteValue(object[first])} and ${second} is ${quoteValue(object[second])}, but ` +
          "they mean the same and must be equal.",
      );
    }
    fields[first] = object[second];
    namesInFile.set(first, second);
  }
  return { fields, nameInFile: (field) => namesInFile.get(field) ?? field };
}

/**
 * `bos_token_id` and `eos_token_id`. One that is not in the vocabulary never comes, so there is none.
 * @param byDefault the tokens that are meant where a file states none
 * @throws LastrowError `model_file_invalid`
 */
export function readTokens(
  fields: JsonObject,
  vocabSize: number,
  byDefault: { readonly bos: number | null; readonly eos: number | null },
  fileName: string,
): Pick<ModelConfig, "bosTokenId" | "eosTokenIds"> {
  const { bos, eos } = byDefault;
  const schema = v.object({
    bos_token_id: v.optional(tokenId(vocabSize), bos),
    eos_token_id: v.optional(tokenIds(vocabSize), eos),
  });
  const { bos_token_id: bosTokenId, eos_token_id: eosTokenIds } = readFields(schema, fields, fileName);
  return { bosTokenId, eosTokenIds: eosTokenIds ?? [] };
}

/** @throws LastrowError `model_file_invalid` when the heads do not share the width evenly */
export function expectMultiple(
  { nameInFile }: NamedFields,
  [width, widthField]: readonly [number, string],
  [heads, headsField]: readonly [number, string],
  fileName: string,
): void {
  if (width % heads === 0) return;
  throw modelFileInvalid(
    `${fileName}: ${nameInFile(widthField)} is ${width}, but must be a multiple of ${nameInFile(headsField)}, which is ${heads}.`,
  );
}
