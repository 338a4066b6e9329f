/**
 * What the small files beside a vocabulary say of its tokens: `tokenizer_config.json`, `special_tokens_map.json` and
 * `added_tokens.json`, read as transformers reads them. The last two count only where `tokenizer_config.json` has no
 * `added_tokens_decoder`, and there the map goes before the config.
 */
import { quoteValue } from "../quote-value.js";
import { invalid, isObject, type JsonFile, type JsonObject } from "./json-objects.js";

/** A token that the files add to the vocabulary, or say more about. */
export interface DeclaredToken {
  readonly content: string;
  /** Null: the vocabulary's, or the next that is free. */
  readonly id: number | null;
  readonly special: boolean;
  readonly normalized: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly singleWord: boolean;
  /** The file that says so. */
  readonly fileName: string;
}

export interface TokenSettings {
  /** Texts of the tokens that have a name, such as `bos_token`. */
  readonly namedTokens: Readonly<Record<string, string>>;
  /** Each content once. */
  readonly declared: readonly DeclaredToken[];
  /** Named tokens that stand before and after every text; null leaves that to the post-processor. */
  readonly surroundings: { readonly before: string | null; readonly after: string | null } | null;
  /** Whether a text without a space at its start gets one; null leaves that to `tokenizer.json`. */
  readonly addPrefixSpace: boolean | null;
}

export interface SettingsFiles {
  /** `tokenizer_config.json` */
  readonly config: JsonFile | null;
  /** `special_tokens_map.json` */
  readonly specialTokensMap: JsonFile | null;
  /** `added_tokens.json` */
  readonly addedTokens: JsonFile | null;
}

/** The tokens that transformers knows by name. */
const NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/** What GPT2Tokenizer takes for the first three when no file names them. */
const GPT2_END_OF_TEXT = "<|endoftext|>";
const GPT2_DEFAULTS: readonly string[] = NAMES.slice(0, 3);
/** Lists of special tokens without names: the newer and the older field. */
const LISTS = ["extra_special_tokens", "additional_special_tokens"];

/**
 * @param hasToken whether the vocabulary has a token
 * @throws LastrowError `tokenizer_invalid`
 */
export function readTokenSettings(
  { config, specialTokensMap, addedTokens }: SettingsFiles,
  hasToken: (content: string) => boolean,
): TokenSettings {
  const decoder = config === null ? null : field(config, "added_tokens_decoder");
  // The later goes before the earlier.
  const sources = [config, decoder === null ? specialTokensMap : null].filter((file) => file !== null);
  const named = readNamed(sources);
  const tokenizerClass = config === null ? null : field(config, "tokenizer_class");
  const isGpt2 = tokenizerClass === null || /^GPT2Tokenizer(Fast)?$/.test(String(tokenizerClass));
  if (isGpt2 && hasToken(GPT2_END_OF_TEXT)) {
    for (const name of GPT2_DEFAULTS) {
      const isNamed = sources.some(({ json }) => Object.hasOwn(json, name));
      if (!isNamed)
        named.set(name, specialToken(GPT2_END_OF_TEXT, config?.fileName ?? "tokenizer_config.json"));
    }
  }
  const specials = [...named.values(), ...sources.flatMap(readLists)];
  const isSpecial = new Set(specials.map(({ content }) => content));
  const withIds =
    decoder !== null
      ? readDecoder(decoder, config!.fileName)
      : addedTokens === null
        ? []
        : readAdded(addedTokens, isSpecial);
  const declared = new Map<string, DeclaredToken>();
  for (const token of withIds.sort((a, b) => a.id! - b.id!)) {
    declared.set(token.content, { ...token, special: token.special || isSpecial.has(token.content) });
  }
  for (const token of specials) if (!declared.has(token.content)) declared.set(token.content, token);
  const namedTokens = Object.fromEntries(Array.from(named, ([name, { content }]) => [name, content]));
  return {
    namedTokens,
    declared: [...declared.values()],
    surroundings: config === null ? null : readSurroundings(config, namedTokens),
    // Other classes leave it to `tokenizer.json`.
    addPrefixSpace: isGpt2 ? config !== null && flag(config, "add_prefix_space") === true : null,
  };
}

/** Named tokens; a name that the last file gives to none has none. */
function readNamed(sources: readonly JsonFile[]): Map<string, DeclaredToken> {
  const named = new Map<string, DeclaredToken>();
  for (const { json, fileName } of sources) {
    for (const name of NAMES) {
      if (!Object.hasOwn(json, name)) continue;
      const token = json[name] ?? null;
      if (token === null || token === "") named.delete(name);
      else named.set(name, tokenOf(token, fileName, name));
    }
    const { extra_special_tokens: extra } = json;
    // Names of the model's own: `image_token`, or an object of such names.
    const others = [...Object.entries(json), ...(isObject(extra) ? Object.entries(extra) : [])];
    for (const [name, token] of others) {
      if (NAMES.includes(name) || !name.endsWith("_token") || typeof token !== "string" || token === "")
        continue;
      named.set(name, tokenOf(token, fileName, name));
    }
  }
  return named;
}

function readLists(file: JsonFile): DeclaredToken[] {
  return LISTS.flatMap((name) => {
    const listed = field(file, name) ?? [];
    if (isObject(listed)) return [];
    if (!Array.isArray(listed)) throw wrong(file.fileName, name, listed, "a list of tokens");
    return listed.map((token: unknown) => tokenOf(token, file.fileName, name));
  });
}

/** `{ "50257": { content: "<|user|>", special: true, … } }` */
function readDecoder(decoder: unknown, fileName: string): DeclaredToken[] {
  if (!isObject(decoder))
    throw wrong(fileName, "added_tokens_decoder", decoder, "an object of tokens by their ids");
  return Object.entries(decoder).map(([id, token]) => {
    if (!/^\d{1,9}$/.test(id) || !isObject(token)) {
      throw wrong(fileName, `token ${quoteValue(id)} of added_tokens_decoder`, token, "a token under its id");
    }
    const special = token.special === true;
    return {
      ...tokenOf({ normalized: true, ...token, special }, fileName, "added_tokens_decoder"),
      id: Number(id),
    };
  });
}

/** `{ "<|user|>": 50257 }` */
function readAdded({ json, fileName }: JsonFile, isSpecial: ReadonlySet<string>): DeclaredToken[] {
  return Object.entries(json).map(([content, id]) => {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0) {
      throw wrong(fileName, quoteValue(content), id, "a token's id");
    }
    const special = isSpecial.has(content);
    return { ...tokenOf({ content, special, normalized: !special }, fileName, "a token"), id };
  });
}

/** A token written as a text, or as an object with its flags. Special unless it says otherwise. */
function tokenOf(token: unknown, fileName: string, name: string): DeclaredToken {
  if (typeof token === "string" && token !== "") return specialToken(token, fileName);
  if (!isObject(token) || typeof token.content !== "string" || token.content === "") {
    throw wrong(fileName, name, token, "a text or null");
  }
  for (const flagName of ["special", "normalized", "lstrip", "rstrip", "single_word"]) {
    const value = token[flagName] ?? false;
    if (typeof value !== "boolean")
      throw wrong(fileName, `${flagName} of ${quoteValue(token.content)}`, value, "true or false");
  }
  return {
    ...specialToken(token.content, fileName),
    special: token.special !== false,
    normalized: token.normalized === true,
    lstrip: token.lstrip === true,
    rstrip: token.rstrip === true,
    singleWord: token.single_word === true,
  };
}

function specialToken(content: string, fileName: string): DeclaredToken {
  const flags = { special: true, normalized: false, lstrip: false, rstrip: false, singleWord: false };
  return { content, id: null, ...flags, fileName };
}

/** Either field, whatever it says, goes before the post-processor. */
function readSurroundings(config: JsonFile, { bos_token: bos, eos_token: eos }: Record<string, string>) {
  const adds = (name: string, token: string | undefined) =>
    flag(config, name) === true ? (token ?? null) : null;
  const surroundings = { before: adds("add_bos_token", bos), after: adds("add_eos_token", eos) };
  const isSaid = ["add_bos_token", "add_eos_token"].some((name) => Object.hasOwn(config.json, name));
  return isSaid ? surroundings : null;
}

function flag(file: JsonFile, name: string): boolean | null {
  const value = field(file, name);
  if (value === null || typeof value === "boolean") return value;
  throw wrong(file.fileName, name, value, "true or false");
}

/** A field of a file, null where it is absent. */
function field({ json }: JsonFile, name: string): unknown {
  return Object.hasOwn(json, name) ? ((json as JsonObject)[name] ?? null) : null;
}

function wrong(fileName: string, name: string, value: unknown, expected: string) {
  return invalid(fileName, `has ${quoteValue(value)} as ${name}, but that must be ${expected}`);
}
