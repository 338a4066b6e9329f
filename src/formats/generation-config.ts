/**
 * `generation_config.json`: how the model's makers would have its text generated. Only what the file states; the
 * defaults for the rest are not this file's business.
 */
import * as v from "valibot";
import {
  flag,
  numberAbove,
  numberFrom,
  readFields,
  tokenId,
  tokenIds,
  wholeNumber,
} from "./config-fields.js";
import { JSON_LIMITS, readJsonObject } from "./json-file.js";
import type { ModelFiles } from "./model-files.js";
import type { JsonObject } from "./strict-json.js";

const FILE_NAME = "generation_config.json";

const MAX_TEMPERATURE = 100;
const MAX_PENALTY = 100;
const MAX_COUNT = 2 ** 31 - 1;

/** What the file states; a property is absent where it states nothing (or null, which means the same). */
export interface GenerationDefaults {
  /** 0 (greedy) to 100. */
  readonly temperature?: number;
  /** Keep the likeliest `topK` tokens; 0 keeps all. */
  readonly topK?: number;
  /** Keep the likeliest tokens that together reach this probability: 0 to 1, where 1 keeps all. */
  readonly topP?: number;
  /** Keep tokens that are at least this fraction as likely as the likeliest: 0 to 1, where 0 keeps all. */
  readonly minP?: number;
  /** Above 0, at most 100; 1 changes nothing. */
  readonly repetitionPenalty?: number;
  /** At least 1. */
  readonly maxNewTokens?: number;
  /** The end tokens, in place of `config.json`'s; in the vocabulary, none twice. Empty: those it states never come. */
  readonly eosTokenIds?: readonly number[];
  /** The start token, in place of `config.json`'s; in the vocabulary. */
  readonly bosTokenId?: number;
}

/**
 * Reads `generation_config.json`; without the file, nothing is stated.
 *
 * `do_sample` has no counterpart of its own; it becomes a temperature:
 * - `do_sample: false` states temperature 0, whatever `temperature` says: transformers generates greedily then;
 * - `do_sample: true` without `temperature` states temperature 1, transformers' own default when it samples;
 * - without `do_sample`, a `temperature` is taken as it is, and nothing is stated when that is missing too. (Most
 *   files of GPT-2 models state neither. transformers would be greedy; here our own defaults hold.)
 *
 * Fields without a counterpart (`max_length`, beams, `typical_p` …) are ignored.
 *
 * @param vocabSize number of token ids; an id in the file that is not below it belongs to a token that never comes
 * @throws LastrowError `model_file_invalid`, naming the field, what it is and what it must be, when the file is not
 *   strict JSON or a value is out of the range that `GenerationDefaults` gives
 */
export async function readGenerationConfig(
  files: ModelFiles,
  vocabSize: number,
): Promise<GenerationDefaults> {
  const file = await readJsonObject(files, FILE_NAME, JSON_LIMITS.config);
  return file === null ? {} : generationDefaults(file.json, file.name, vocabSize);
}

/**
 * The same of fields that were read elsewhere.
 * @param nameInFile what the file calls a field, where that differs
 */
export function generationDefaults(
  object: JsonObject,
  fileName: string,
  vocabSize: number,
  nameInFile?: (field: string) => string,
): GenerationDefaults {
  const fields = readFields(schemaFor(vocabSize), object, fileName, nameInFile);
  const temperature = statedTemperature(fields.do_sample ?? null, fields.temperature ?? null);
  return stated({
    temperature,
    topK: fields.top_k,
    topP: fields.top_p,
    minP: fields.min_p,
    repetitionPenalty: fields.repetition_penalty,
    maxNewTokens: fields.max_new_tokens,
    eosTokenIds: fields.eos_token_id,
    bosTokenId: fields.bos_token_id,
  });
}

function schemaFor(vocabSize: number) {
  return v.object({
    do_sample: v.nullish(flag()),
    temperature: v.nullish(numberFrom(0, MAX_TEMPERATURE)),
    top_k: v.nullish(wholeNumber(0, MAX_COUNT)),
    top_p: v.nullish(numberFrom(0, 1)),
    min_p: v.nullish(numberFrom(0, 1)),
    repetition_penalty: v.nullish(numberAbove(0, MAX_PENALTY)),
    max_new_tokens: v.nullish(wholeNumber(1, MAX_COUNT)),
    eos_token_id: v.optional(tokenIds(vocabSize)),
    bos_token_id: v.optional(tokenId(vocabSize)),
  });
}

function statedTemperature(doSample: boolean | null, temperature: number | null): number | null {
  if (doSample === false) return 0;
  if (doSample === true) return temperature ?? 1;
  return temperature;
}

/** The properties that have a value. */
function stated<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && value !== null),
  ) as { [K in keyof T]?: NonNullable<T[K]> };
}
