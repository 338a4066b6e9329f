/**
 * A `tokenizer.json` as the metadata of a GGUF file, the way llama.cpp's converters write it: less is said, special tokens have
 * types, and a SentencePiece vocabulary has scores instead of merges.
 */
import { ggufValue } from "../scripts/gguf-writer.js";
import { GgufMetadata, type GgufValue } from "../src/formats/gguf/gguf-metadata.js";
import type { TokenizerJson } from "./family-tokenizers.js";

interface Added {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

export interface GgufVocabularyOptions {
  /** `general.architecture` */
  readonly architecture: string;
  /** `tokenizer.ggml.pre`; null: not written. */
  readonly pre: string | null;
  /** Ids of the tokens with a role, by the key's part: `bos`, `eos`. */
  readonly roles?: Readonly<Record<string, number>>;
  /** Further keys. */
  readonly keys?: Readonly<Record<string, GgufValue>>;
  /** Tokens of the model; ids that nothing has are filled with `[PAD7]`, unused. Default: as many as there are. */
  readonly vocabSize?: number;
}

const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;
const BYTE = 6;

/** The keys of the metadata and their values, of a byte-level or a SentencePiece vocabulary. */
export function ggufVocabulary(json: TokenizerJson, options: GgufVocabularyOptions): Map<string, GgufValue> {
  const { architecture, pre, roles = {}, keys = {} } = options;
  const { vocab, merges, unk_token: unknown, byte_fallback: hasBytes } = json.model;
  const isByteLevel = JSON.stringify(json.pre_tokenizer ?? null).includes('"ByteLevel"');
  const added: readonly Added[] = json.added_tokens;
  const entries = [
    ...Object.entries(vocab as Record<string, number>),
    ...added.map(({ content, id }) => [content, id] as const),
  ];
  const size = options.vocabSize ?? Math.max(...entries.map(([, id]) => id)) + 1;
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(size).fill(UNUSED);
  for (const [token, id] of Object.entries(vocab as Record<string, number>)) {
    tokens[id] = token;
    types[id] = hasBytes === true && /^<0x[0-9A-F]{2}>$/.test(token) ? BYTE : NORMAL;
  }
  for (const { content, id, special } of added) {
    if (id >= size) continue;
    const isControl = special || /^(<\|.*\|>|<unused.*>|<pad>|<mask>)$/.test(content);
    // Spaces as a text has them.
    tokens[id] = isControl ? content : content.replaceAll("▁", " ");
    types[id] = isControl ? CONTROL : USER_DEFINED;
  }
  if (!isByteLevel && unknown != null) types[(vocab as Record<string, number>)[unknown]] = UNKNOWN;
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", ggufValue.text(architecture)],
    ["tokenizer.ggml.model", ggufValue.text(isByteLevel ? "gpt2" : "llama")],
    ...(pre === null ? [] : [["tokenizer.ggml.pre", ggufValue.text(pre)] as const]),
    ["tokenizer.ggml.tokens", ggufValue.texts(tokens)],
    ["tokenizer.ggml.token_type", ggufValue.i32s(types)],
  ]);
  if (isByteLevel) {
    const pairs = (merges as (string | [string, string])[]).map((pair) =>
      typeof pair === "string" ? pair : pair.join(" "),
    );
    metadata.set("tokenizer.ggml.merges", ggufValue.texts(pairs));
  } else {
    metadata.set("tokenizer.ggml.scores", ggufValue.f32s(scoresOf(json, size)));
  }
  for (const [role, id] of Object.entries(roles)) {
    metadata.set(`tokenizer.ggml.${role}_token_id`, ggufValue.u32(id));
  }
  for (const [key, value] of Object.entries(keys)) metadata.set(key, value);
  return metadata;
}

/** The earlier a token comes out of a merge, the higher; single characters and the rest are behind. */
function scoresOf({ model: { vocab, merges } }: TokenizerJson, size: number): Float32Array {
  const scores = new Float32Array(size).fill(-merges.length);
  for (const [rank, merge] of [...merges.entries()].reverse()) {
    const [left, right] = typeof merge === "string" ? merge.split(" ") : merge;
    scores[vocab[left + right]] = -rank;
  }
  return scores;
}

export function metadataOf(values: ReadonlyMap<string, GgufValue>): GgufMetadata {
  return new GgufMetadata("model.gguf", values);
}
