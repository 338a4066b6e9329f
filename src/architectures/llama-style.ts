/**
 * The layer that Llama made common, and how the families that have it are read: normed rows go to attention with rotated
 * queries and keys, then, normed again, to a gated MLP; both add to the residual stream. A family's file has its defaults,
 * its own fields, and where its layers differ from this one.
 */
import * as v from "valibot";
import { modelFileInvalid } from "../errors.js";
import { flag } from "../formats/config-fields.js";
import type { JsonObject } from "../formats/strict-json.js";
import type { Activation } from "../kernels/kernels.js";
import { modelConfig } from "../model/config.js";
import type { AttentionSpec, DecoderSpec, LayerSpec, MlpSpec, NormSpec } from "../model/decoder-spec.js";
import type { Architecture } from "./architecture.js";
import { readTokens, size, WIDEST_INSIDE } from "./family-fields.js";
import { type LlamaStyleNames, llamaStyleTensors } from "./llama-style-tensors.js";
import { refuseFields } from "./refused-fields.js";
import { type RotaryFamily, readRotation } from "./rotary-settings.js";

/** The fields that all these families have, under the names that transformers gives them. */
interface CommonFields {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  /** Null: as many as `num_attention_heads`. */
  readonly num_key_value_heads: number | null;
  /** Null: `hidden_size` / `num_attention_heads`. */
  readonly head_dim: number | null;
  readonly max_position_embeddings: number;
  readonly tie_word_embeddings: boolean;
}

/** These fields with a family's defaults, as entries of its schema. */
export function commonFields(defaults: CommonFields) {
  return {
    vocab_size: v.optional(size.vocabulary(), defaults.vocab_size),
    hidden_size: v.optional(size.width(), defaults.hidden_size),
    intermediate_size: v.optional(size.innerWidth(), defaults.intermediate_size),
    num_hidden_layers: v.optional(size.layers(), defaults.num_hidden_layers),
    num_attention_heads: v.optional(size.heads(), defaults.num_attention_heads),
    num_key_value_heads: v.optional(v.nullable(size.heads()), defaults.num_key_value_heads),
    head_dim: v.optional(v.nullable(size.width()), defaults.head_dim),
    max_position_embeddings: v.optional(size.context(), defaults.max_position_embeddings),
    tie_word_embeddings: v.optional(flag(), defaults.tie_word_embeddings),
  };
}

type Heads = Pick<AttentionSpec, "numHeads" | "numKvHeads" | "headDim">;

/** How a family's layers differ from the common one; what it does not state is as there. */
interface LlamaStyle {
  /** Of all its norms. */
  readonly norm: NormSpec;
  readonly activation: Activation;
  /** Attention of all layers. */
  readonly attention?: Partial<AttentionSpec>;
  /** Attention of layer i, counted from 0. */
  readonly attentionOf?: (i: number) => Partial<AttentionSpec>;
  readonly mlp?: Partial<MlpSpec>;
  readonly layer?: Partial<Pick<LayerSpec, "residual" | "residualScale">>;
  readonly decoder?: Partial<Pick<DecoderSpec, "embeddingScale" | "logitScale" | "logitSoftcap">>;
}

/** What the style of a family is made from. */
interface ReadConfig {
  readonly object: JsonObject;
  readonly heads: Heads;
  readonly fileName: string;
}

interface LlamaStyleFamily<Fields extends CommonFields> {
  readonly id: string;
  readonly name: string;
  /** Reads `commonFields` and the family's own. */
  readonly fields: (object: JsonObject, fileName: string) => Fields;
  /** The start and the end token, where a file states none. */
  readonly tokens: { readonly bos: number | null; readonly eos: number | null };
  /** Fields of `refused-fields.ts` that the family reads. */
  readonly honoured?: readonly string[];
  /** The rotations that its layers name by number. */
  readonly rotations: readonly Omit<RotaryFamily, "headDim" | "maxPositions">[];
  readonly style: (fields: Fields, config: ReadConfig) => LlamaStyle;
  readonly tensorNames: LlamaStyleNames;
}

export function llamaStyleFamily<Fields extends CommonFields>(
  family: LlamaStyleFamily<Fields>,
): Architecture {
  return {
    ...{ id: family.id, name: family.name },
    config(object, fileName, wanted) {
      refuseFields(object, family.honoured ?? [], fileName);
      const fields = family.fields(object, fileName);
      const heads = readHeads(fields, fileName);
      const read = family.rotations.map((settings) =>
        readRotation(
          object,
          fileName,
          { ...settings, headDim: heads.headDim, maxPositions: fields.max_position_embeddings },
          wanted,
        ),
      );
      const style = family.style(fields, { object, heads, fileName });
      const rotations = read.map(({ rotation }) => rotation);
      const { contextLength, maxContextLength, rotaryTable } = read[0]!;
      const decoder = { ...decoderSpec(fields, heads, style), contextLength, rotations };
      const tokens = readTokens(object, fields.vocab_size, family.tokens, fileName);
      return modelConfig(decoder, { modelType: family.id, maxContextLength, rotaryTable, ...tokens });
    },
    tensors: llamaStyleTensors(family.tensorNames),
    prefixes: ["model."],
    // A head that is stored although it is the embedding, and tables of angles that older writers stored.
    ignored: /^lm_head\.weight$|\.rotary_emb\.inv_freq$/,
  };
}

/** @throws LastrowError `model_file_invalid` when heads, KV heads and widths do not fit together */
function readHeads(fields: CommonFields, fileName: string): Heads {
  const { hidden_size, num_attention_heads: numHeads, head_dim } = fields;
  const numKvHeads = fields.num_key_value_heads ?? numHeads;
  if (numHeads % numKvHeads !== 0) {
    throw modelFileInvalid(
      `${fileName}: num_attention_heads is ${numHeads}, but must be a multiple of num_key_value_heads, which is ${numKvHeads}.`,
    );
  }
  if (head_dim === null && hidden_size % numHeads !== 0) {
    throw modelFileInvalid(
      `${fileName}: hidden_size is ${hidden_size}, but without head_dim it must be a multiple of num_attention_heads, ` +
        `which is ${numHeads}.`,
    );
  }
  const headDim = head_dim ?? hidden_size / numHeads;
  if (numHeads * headDim > WIDEST_INSIDE) {
    throw modelFileInvalid(
      `${fileName}: num_attention_heads × head_dim is ${numHeads * headDim}, but must be at most ${WIDEST_INSIDE}.`,
    );
  }
  return { numHeads, numKvHeads, headDim };
}

function decoderSpec(
  fields: CommonFields,
  heads: Heads,
  style: LlamaStyle,
): Omit<DecoderSpec, "contextLength" | "rotations"> {
  const { norm, activation } = style;
  const attention: AttentionSpec = {
    ...{ norm, normAfter: null, qkNorm: null, rotation: 0, window: null, softcap: null },
    ...{ ...heads, scale: Math.fround(1 / Math.sqrt(heads.headDim)), bias: { qkv: false, o: false } },
    ...style.attention,
  };
  const mlp: MlpSpec = {
    ...{ norm, normAfter: null, innerSize: fields.intermediate_size, activation, gated: true, bias: false },
    ...style.mlp,
  };
  return {
    hiddenSize: fields.hidden_size,
    vocabSize: fields.vocab_size,
    learnedPositions: 0,
    layers: Array.from({ length: fields.num_hidden_layers }, (_, i) => ({
      attention: style.attentionOf === undefined ? attention : { ...attention, ...style.attentionOf(i) },
      mlp,
      ...{ residual: "serial", residualScale: 1, ...style.layer },
    })),
    finalNorm: norm,
    ...{ embeddingScale: 1, logitScale: 1, logitSoftcap: null, ...style.decoder },
    tied: fields.tie_word_embeddings,
  };
}
