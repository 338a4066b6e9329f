/**
 * Random models that make vectors of texts, and that rate documents: Qwen3's layers, the embedded model's tokenizer with the
 * special tokens of Qwen3, and the files of sentence-transformers.
 */
import { type ChatModelFiles, chatModelFiles } from "./chat-model.js";

const CONFIG = {
  ...{
    model_type: "qwen3",
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
  },
  ...{ head_dim: 8, intermediate_size: 48, tie_word_embeddings: true },
};
const SPECIALS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|end|>"];

/** What the tokenizer puts behind each text. */
export const END = "<|end|>";

export interface EmbeddingModel {
  /** Of sentence-transformers; null: the model has none of its files. */
  readonly pooling: "lasttoken" | "mean_tokens" | null;
  readonly prompts?: object;
  readonly contextLength?: number;
  /** Tokens that are "yes" and "no". */
  readonly answers?: readonly string[];
  /** Further files. */
  readonly files?: Readonly<Record<string, unknown>>;
}

export function embeddingModelFiles(model: EmbeddingModel): ChatModelFiles {
  const { pooling, prompts, contextLength = 128, answers = ["yes", "no"], files = {} } = model;
  const made = chatModelFiles({
    ...{ template: "{{ messages }}", specials: SPECIALS, added: answers, contextLength, config: CONFIG },
  });
  const tokenizer = JSON.parse(new TextDecoder().decode(made.files["tokenizer.json"]));
  const id = made.idOf(END);
  if (pooling !== null) {
    tokenizer.post_processor = {
      type: "TemplateProcessing",
      single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: END, type_id: 0 } }],
      pair: [],
      special_tokens: { [END]: { id: END, ids: [id], tokens: [END] } },
    };
  }
  const module = (type: string, path: string) => ({ path, type: `sentence_transformers.models.${type}` });
  const own = {
    "tokenizer.json": tokenizer,
    ...(pooling !== null && {
      "modules.json": [
        module("Transformer", ""),
        module("Pooling", "1_Pooling"),
        module("Normalize", "2_Normalize"),
      ],
      "1_Pooling/config.json": { [`pooling_mode_${pooling}`]: true },
    }),
    ...(prompts !== undefined && { "config_sentence_transformers.json": prompts }),
    ...files,
  };
  const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const all = Object.fromEntries(Object.entries(own).map(([name, value]) => [name, bytes(value)]));
  return { ...made, files: { ...made.files, ...all } };
}
