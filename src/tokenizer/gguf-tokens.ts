/**
 * The tokens of a GGUF file: their texts by id, what kind each is, and the ids of those that have a role. Checked: lists of
 * one length, ids within it, no two tokens alike. As in llama.cpp, a token without a text, and one that was never used (the
 * padding of a vocabulary), stand for nothing; a role whose id lies outside of the vocabulary has none, since converters have
 * written such ids.
 */
import type { GgufMetadata } from "../formats/gguf/gguf-metadata.js";
import { quoteValue } from "../quote-value.js";
import type { NamedInfill } from "./infill-tokens.js";
import { invalid } from "./json-objects.js";

/** `tokenizer.ggml.token_type` */
export const TOKEN_TYPES = {
  undefined: 0,
  normal: 1,
  unknown: 2,
  /** Stands for no text. */
  control: 3,
  /** Found in any text before it is cut into words. */
  userDefined: 4,
  unused: 5,
  /** A single byte, `<0x0A>`. */
  byte: 6,
} as const;

/** What a token may be for, as the keys name it. */
const ROLES = ["bos", "eos", "eot", "eom", "unknown", "padding"] as const;
export type TokenRole = (typeof ROLES)[number];

type Roles = Partial<Record<TokenRole, number>>;

/** What asks for a middle, by the keys that name it: those of today, and those of 2024 behind them. */
const INFILL_KEYS = {
  prefix: ["fim_pre", "prefix"],
  suffix: ["fim_suf", "suffix"],
  middle: ["fim_mid", "middle"],
} as const;
/** Tokens that end a middle. */
const INFILL_END_KEYS = ["fim_pad", "fim_rep", "fim_sep"] as const;

export interface GgufTokens {
  /** By id. */
  readonly texts: readonly string[];
  /** By id: one of `TOKEN_TYPES`. */
  readonly types: Uint8Array;
  /** Those that stand for something. */
  readonly ids: ReadonlyMap<string, number>;
  readonly roles: Readonly<Roles>;
}

/** Longest token, in UTF-16 units: as in `vocabulary.ts`, and looked at before any work is done with it. */
const MAX_LENGTH = 1024;
const BYTE = /^<0x[0-9A-F]{2}>$/;
/** Roles of a `llama` vocabulary whose file does not give them. */
const LLAMA_ROLES: readonly (readonly [TokenRole, number])[] = [
  ["bos", 1],
  ["eos", 2],
  ["unknown", 0],
];

/**
 * @param model `llama` or `gpt2`
 * @throws LastrowError `tokenizer_invalid`; as `GgufMetadata`
 */
export function readGgufTokens(metadata: GgufMetadata, model: string): GgufTokens {
  const { fileName } = metadata;
  const texts = metadata.texts("tokenizer.ggml.tokens");
  if (texts === null || texts.length === 0) throw invalid(fileName, "has no tokens (tokenizer.ggml.tokens)");
  const types = readTypes(metadata, texts.length);
  const roles = readRoles(metadata, texts.length);
  if (model === "llama") addUsualRoles(roles, texts, types);
  const hasRole = new Set(Object.values(roles));
  const ids = new Map<string, number>();
  for (let id = 0; id < texts.length; id++) {
    const text = texts[id];
    const type = types[id];
    if (text.length > MAX_LENGTH) {
      throw invalid(
        fileName,
        `has token ${id}, ${quoteValue(text)}, which is longer than ${MAX_LENGTH} characters`,
      );
    }
    const isUsed = type !== TOKEN_TYPES.unused && type !== TOKEN_TYPES.undefined;
    if (text === "" || !(isUsed || hasRole.has(id))) continue;
    if (type === TOKEN_TYPES.byte && !BYTE.test(text)) {
      throw invalid(
        fileName,
        `has ${quoteValue(text)} as token ${id} for a single byte, which is written as "<0x0A>"`,
      );
    }
    const other = ids.get(text);
    if (other !== undefined) {
      throw invalid(fileName, `has ${quoteValue(text)} twice, as tokens ${other} and ${id}`);
    }
    ids.set(text, id);
  }
  return { texts, types, ids, roles };
}

/** Where the file does not say, all are normal. */
function readTypes(metadata: GgufMetadata, numTokens: number): Uint8Array {
  const key = "tokenizer.ggml.token_type";
  const types = metadata.wholeNumbers(key, { from: 0, to: TOKEN_TYPES.byte });
  if (types === null) return new Uint8Array(numTokens).fill(TOKEN_TYPES.normal);
  expectLength(metadata, key, types.length, numTokens);
  return Uint8Array.from(types);
}

function readRoles(metadata: GgufMetadata, numTokens: number): Roles {
  const roles: Roles = {};
  for (const role of ROLES) {
    const id = roleId(metadata, role, numTokens);
    if (id !== null) roles[role] = id;
  }
  return roles;
}

/**
 * The tokens that a file names for asking for a middle. What it does not name may be known by its text.
 * @param texts of tokens by id, as the tokenizer has them
 */
export function namedInfill(metadata: GgufMetadata, texts: readonly string[]): NamedInfill {
  const named = (key: string) => {
    const id = roleId(metadata, key, texts.length);
    return id === null || texts[id] === "" ? [] : [texts[id]];
  };
  const first = (keys: readonly string[]) => keys.flatMap(named)[0];
  return {
    prefix: first(INFILL_KEYS.prefix),
    suffix: first(INFILL_KEYS.suffix),
    middle: first(INFILL_KEYS.middle),
    others: INFILL_END_KEYS.flatMap(named),
  };
}

function roleId(metadata: GgufMetadata, role: string, numTokens: number): number | null {
  const id = metadata.wholeNumber(`tokenizer.ggml.${role}_token_id`, { from: -1, to: 2 ** 32 - 1 });
  return id !== null && id >= 0 && id < numTokens ? id : null;
}

function addUsualRoles(roles: Roles, texts: readonly string[], types: Uint8Array): void {
  for (const [role, id] of LLAMA_ROLES) {
    if (roles[role] !== undefined || id >= texts.length) continue;
    const isSpecial = types[id] === TOKEN_TYPES.control || types[id] === TOKEN_TYPES.unknown;
    if (isSpecial || looksSpecial(texts[id])) roles[role] = id;
  }
}

/** `<|im_end|>`, `</s>`, `[EOS]` */
function looksSpecial(text: string): boolean {
  return /^(<.+>|\[.+\])$/s.test(text);
}

/** What is a control token by its looks for llama.cpp's converters of today; those of 2023 had it as user-defined. */
const CONTROL = /^(<\|.*\|>|<｜.*｜>|<unused\d+>|<pad>|<mask>)$/s;
/** Those of Gemma were texts like others once; llama.cpp takes them for control tokens, too. */
const TURNS: ReadonlySet<string> = new Set(["<start_of_turn>", "<end_of_turn>"]);

/**
 * Whether a token stands for no text, so that no text of people's may hold it: a control token, the unknown one, one with a role
 * that is written like one (any, in transformers), and those that old converters have given another type.
 */
export function isSpecial({ texts, types, roles }: GgufTokens, id: number): boolean {
  const [text, type] = [texts[id], types[id]];
  if (type === TOKEN_TYPES.control || type === TOKEN_TYPES.unknown) return true;
  if (type === TOKEN_TYPES.byte) return false;
  if (TURNS.has(text) || (type === TOKEN_TYPES.userDefined && CONTROL.test(text))) return true;
  return looksSpecial(text) && Object.values(roles).includes(id);
}

/** @throws LastrowError `tokenizer_invalid` */
export function expectLength(
  { fileName }: GgufMetadata,
  key: string,
  length: number,
  numTokens: number,
): void {
  if (length === numTokens) return;
  throw invalid(fileName, `has ${numTokens} tokens, but ${length} entries of ${key}`);
}
