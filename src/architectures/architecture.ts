/**
 * What a model family is: how its `config.json` becomes a `DecoderSpec`, and which tensors its checkpoints have. One file
 * a family; the list is in `known-architectures.ts`.
 */
import type { JsonObject } from "../formats/strict-json.js";
import type { ModelConfig } from "../model/config.js";
import type { DecoderSpec, TensorRow } from "../model/decoder-spec.js";

/** Longest that any context is. */
export const MAX_CONTEXT_LENGTH = 1_048_576;

/** What a program asks for, beside the files. */
export interface WantedContext {
  /** The length to load the model with, at least 1; by default the family chooses: all that the model was made for. */
  readonly contextLength?: number | undefined;
}

/** What decides a config, beside its fields. */
export interface ConfigSetting extends WantedContext {
  /** What each pair's rotary frequency is divided by, where a file has that as a tensor (GGUF's `rope_freqs.weight`). */
  readonly frequencyDivisors?: readonly number[] | undefined;
}

/** A family's tensors, in one format of files. */
export interface StoredFamily {
  /** In sentences: "does not belong to GPT-2 with 2 layers". */
  readonly name: string;
  /** Every tensor that its checkpoints have and the model uses; parts of one tensor are rows of their own. */
  tensors(decoder: DecoderSpec): TensorRow[];
  /** What writers put before names, `transformer.`: of those that fit, the first is taken off. */
  readonly prefixes: readonly string[];
  /** Tensors that are passed over where they are not in `tensors`, without a prefix: causal masks, tables of angles. */
  readonly ignored: RegExp;
}

/** A model family. */
export interface Architecture extends StoredFamily {
  /** `model_type` in `config.json`. */
  readonly id: string;
  /**
   * Reads the fields of `config.json`.
   * @param fileName for messages
   * @throws LastrowError `model_file_invalid`, naming the field, what it is and what it must be; `model_unsupported` for
   *   whatever the forward pass does not do; `invalid_argument` for a context that the model was not made for
   */
  config(fields: JsonObject, fileName: string, setting: ConfigSetting): ModelConfig;
  /** Sequences of it were saved while a fingerprint was of stored bytes: `library/earlier-fingerprints.ts`. */
  readonly hasEarlierFiles?: true;
}
