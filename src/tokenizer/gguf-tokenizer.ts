/**
 * From the metadata of a GGUF file to a tokenizer, in the form of `tokenizer.json`, so that one reader makes both. Kinds
 * `gpt2` (byte-level, with merges) and `llama` (SentencePiece's, with scores). The file says less than a `tokenizer.json`;
 * what is missing is the same for all vocabularies of a kind, or goes with the name of its splitter or its architecture.
 */
import { LastrowError } from "../errors.js";
import type { GgufMetadata } from "../formats/gguf/gguf-metadata.js";
import { quoteValue } from "../quote-value.js";
import { hasMerges, impliedMerges, SPACE, writtenMerges } from "./gguf-merges.js";
import { splitterOf } from "./gguf-splitters.js";
import {
  type GgufTokens,
  isSpecial,
  namedInfill,
  readGgufTokens,
  TOKEN_TYPES,
  type TokenRole,
} from "./gguf-tokens.js";
import { invalid, type JsonObject, unsupported } from "./json-objects.js";
import type { TokenizerFiles } from "./tokenizer-files.js";

export interface GgufTokenizer {
  /** Null where the file has no tokenizer. */
  readonly files: TokenizerFiles | null;
  /** Tokens that end an answer: `eos`, `eot`, `eom`, each once. */
  readonly eosTokenIds: readonly number[];
  /** Tokens that the file lists. */
  readonly numTokens: number;
  /** A sentence for people, where something had to be guessed. */
  readonly notice: string | null;
}

/** Of a file that has none. */
export const NO_GGUF_TOKENIZER: GgufTokenizer = { files: null, eosTokenIds: [], numTokens: 0, notice: null };

/** As templates know the tokens. */
const NAMES: Readonly<Partial<Record<TokenRole, string>>> = {
  bos: "bos_token",
  eos: "eos_token",
  unknown: "unk_token",
  padding: "pad_token",
};
const END_ROLES = ["eos", "eot", "eom"] as const;

/** What other kinds of tokenizers do to a text, and decoders' do not. */
const REFUSED_KEYS = [
  "tokenizer.ggml.remove_extra_whitespaces",
  "tokenizer.ggml.precompiled_charsmap",
  "tokenizer.ggml.normalizer.lowercase",
  "tokenizer.ggml.normalizer.strip_accents",
];

/**
 * Bounded in time and memory by what the metadata's own limits let through.
 *
 * @throws LastrowError `tokenizer_invalid`, `model_unsupported`, naming the file and what is wrong with it
 */
export function ggufTokenizerFiles(metadata: GgufMetadata): GgufTokenizer {
  try {
    return read(metadata);
  } catch (error) {
    if (!(error instanceof LastrowError) || error.code !== "model_file_invalid") throw error;
    throw new LastrowError("tokenizer_invalid", error.message, { cause: error });
  }
}

function read(metadata: GgufMetadata): GgufTokenizer {
  const { fileName } = metadata;
  const model = metadata.text("tokenizer.ggml.model");
  if (model === null || model === "none" || model === "no_vocab") {
    return NO_GGUF_TOKENIZER;
  }
  if (model !== "gpt2" && model !== "llama") {
    throw unsupported(
      fileName,
      `has a tokenizer of the kind ${quoteValue(model)} (tokenizer.ggml.model); "gpt2" and "llama" are read`,
    );
  }
  for (const key of REFUSED_KEYS) {
    if (metadata.has(key) && !isOff(metadata, key)) {
      throw unsupported(fileName, `changes a text before it is cut (${key}), which is not supported`);
    }
  }
  const architecture = metadata.text("general.architecture");
  const stored = readGgufTokens(metadata, model);
  const kind = (model === "gpt2" ? byteLevel : sentencePiece)(metadata, stored, architecture);
  const { roles, texts } = kind.tokens;
  const named = (role: TokenRole) => {
    const id = roles[role];
    return id === undefined || texts[id] === "" ? null : texts[id];
  };
  const namedTokens: Record<string, string> = {};
  for (const [role, name] of Object.entries(NAMES)) {
    const text = named(role as TokenRole);
    if (text !== null) namedTokens[name] = text;
  }
  const surrounding = (role: "bos" | "eos", byDefault: boolean) => {
    const key = `tokenizer.ggml.add_${role}_token`;
    if (!(metadata.flag(key) ?? byDefault)) return [];
    const text = named(role);
    if (text !== null) return [{ SpecialToken: { id: text } }];
    // As in llama.cpp, which adds none where it is not asked for by name.
    if (!metadata.has(key)) return [];
    throw invalid(fileName, `says that a text has a ${role} token (${key}), but has none`);
  };
  const single = [
    ...surrounding("bos", kind.addsStart),
    { Sequence: { id: "A" } },
    ...surrounding("eos", false),
  ];
  return {
    files: {
      fileName,
      json: {
        ...kind.json,
        added_tokens: addedTokens(kind.tokens, architecture),
        post_processor: { type: "TemplateProcessing", single },
      },
      namedTokens,
      infill: namedInfill(metadata, texts),
      declared: [],
    },
    eosTokenIds: [...new Set(END_ROLES.flatMap((role) => roles[role] ?? []))],
    numTokens: texts.length,
    notice: kind.notice,
  };
}

/** Whether it is false, or an empty list. */
function isOff(metadata: GgufMetadata, key: string): boolean {
  const found = metadata.get(key);
  if (found?.type === "array") return found.values.length === 0;
  return metadata.flag(key) === false;
}

/** What the two kinds differ in. */
interface Kind {
  readonly json: JsonObject;
  /** As `json` has them. */
  readonly tokens: GgufTokens;
  readonly addsStart: boolean;
  readonly notice: string | null;
}

function byteLevel(metadata: GgufMetadata, tokens: GgufTokens, architecture: string | null): Kind {
  const { fileName } = metadata;
  const { splitter, notice } = splitterOf({
    ...{ fileName, architecture, numTokens: tokens.texts.length },
    name: metadata.text("tokenizer.ggml.pre"),
  });
  if (tokens.types.includes(TOKEN_TYPES.byte)) {
    throw unsupported(fileName, 'has tokens for single bytes in a vocabulary of the kind "gpt2"');
  }
  return {
    json: {
      normalizer: splitter.isNfc ? { type: "NFC" } : null,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          ...splitter.patterns.map((Regex) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated" })),
          { type: "ByteLevel", add_prefix_space: false, use_regex: false },
        ],
      },
      decoder: { type: "ByteLevel" },
      model: {
        type: "BPE",
        vocab: tokens.ids,
        merges: writtenMerges(metadata, tokens),
        ignore_merges: splitter.ignoresMerges,
      },
    },
    tokens,
    addsStart: splitter.addsStart,
    notice,
  };
}

function sentencePiece(metadata: GgufMetadata, stored: GgufTokens, architecture: string | null): Kind {
  const isGemma = architecture?.startsWith("gemma") === true;
  const tokens = rewritten(stored, isGemma);
  const hasPrefix = metadata.flag("tokenizer.ggml.add_space_prefix") ?? true;
  const { unknown } = tokens.roles;
  const spaces = { type: "Replace", pattern: { String: " " }, content: SPACE };
  return {
    json: {
      normalizer: {
        type: "Sequence",
        normalizers: hasPrefix ? [{ type: "Prepend", prepend: SPACE }, spaces] : [spaces],
      },
      pre_tokenizer: null,
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: SPACE }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          ...(hasPrefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
        ],
      },
      model: {
        type: "BPE",
        vocab: tokens.ids,
        merges: hasMerges(metadata, tokens)
          ? writtenMerges(metadata, tokens)
          : impliedMerges(metadata, tokens, isGemma),
        unk_token: unknown === undefined ? null : tokens.texts[unknown],
        fuse_unk: true,
        byte_fallback: true,
      },
    },
    tokens,
    addsStart: true,
    notice: null,
  };
}

/**
 * The tokens as a text has them once it is normalised. Gemma's runs of spaces, which converters have written as spaces for
 * programs that look for them in a text, are SentencePiece's again. And a character of ASCII that is no token, but part of one,
 * takes the place of its byte: such a token could not be reached otherwise.
 */
function rewritten(tokens: GgufTokens, isGemma: boolean): GgufTokens {
  const texts = [...tokens.texts];
  const types = tokens.types.slice();
  const ids = new Map(tokens.ids);
  const rename = (id: number, text: string) => {
    if (ids.has(text)) return false;
    ids.delete(texts[id]);
    ids.set(text, id);
    texts[id] = text;
    return true;
  };
  for (const [text, id] of tokens.ids) {
    if (isGemma && types[id] === TOKEN_TYPES.userDefined && /^ +$/.test(text)) {
      rename(id, SPACE.repeat(text.length));
    }
  }
  const parts = new Set<number>();
  for (const [text, id] of ids) {
    if (types[id] !== TOKEN_TYPES.normal || text.length === 1) continue;
    for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) < 0x80) parts.add(text.charCodeAt(at));
  }
  for (const code of parts) {
    const id = ids.get(`<0x${code.toString(16).toUpperCase().padStart(2, "0")}>`);
    if (id !== undefined && types[id] === TOKEN_TYPES.byte && rename(id, String.fromCharCode(code))) {
      types[id] = TOKEN_TYPES.normal;
    }
  }
  return { ...tokens, texts, types, ids };
}

/**
 * Special and user-defined tokens, which are found in a text before it is cut. White space behind Phi's control tokens belongs to
 * them, which no file says.
 */
function addedTokens(tokens: GgufTokens, architecture: string | null): JsonObject[] {
  const { texts, types, ids } = tokens;
  const added: JsonObject[] = [];
  for (const id of ids.values()) {
    const special = isSpecial(tokens, id);
    if (!special && types[id] !== TOKEN_TYPES.userDefined) continue;
    const content = texts[id];
    const rstrip =
      architecture === "phi3" && special && /^<\|.*\|>$/.test(content) && content !== "<|endoftext|>";
    added.push({ id, content, special, normalized: false, lstrip: false, rstrip, single_word: false });
  }
  return added;
}
