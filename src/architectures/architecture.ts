/**
 * What a model family is: how its `config.json` becomes a `DecoderSpec`, and which tensors its checkpoints have. One file
 * a family; the list is in `known-architectures.ts`.
 */
import type { JsonObject } from "../formats/strict-json.js";
import type { ModelConfig } from "../model/config.js";
import type { DecoderSpec, TensorRow } from "../model/decoder-spec.js";

/** A model family. */
export interface Architecture {
  /** `model_type` in `config.json`. */
  readonly id: string;
  /** In sentences: "no part of a GPT-2 with 2 layers". */
  readonly name: string;
  /**
   * Reads the fields of `config.json`.
   * @param fileName for messages
   * @throws LastrowError `model_file_invalid`, naming the field, what it is and what it must be; `model_unsupported` for
   *   whatever the forward pass does not do
   */
  config(fields: JsonObject, fileName: string): ModelConfig;
  /** Every tensor that its checkpoints have and the model uses; parts of one tensor are rows of their own. */
  tensors(decoder: DecoderSpec): TensorRow[];
  /** What some writers put before every name but the head's: `transformer.`. */
  readonly prefix: string;
  /** Tensors that are no weights and are passed over: causal masks, tables of angles. */
  readonly ignored: RegExp;
}
