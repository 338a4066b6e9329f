/**
 * The files that define a tokenizer, as JSON: `tokenizer.json`, or GPT-2's older `vocab.json` with `merges.txt` written
 * as `tokenizer.json` would say it; and what the files beside them change of it. Checks that they are JSON objects without repeated keys or deep nesting, nothing
 * else. Vocabularies rightly hold keys such as `constructor`, so no key is forbidden; keys must not be looked up through
 * a prototype.
 */
import { LastrowError } from "../errors.js";
import { fetchedCode } from "../fetched-code.js";
import { JSON_LIMITS, readJsonText } from "../formats/json-file.js";
import { type ModelFiles, readText } from "../formats/model-files.js";
import { quoteValue } from "../quote-value.js";
import type { NamedInfill } from "./infill-tokens.js";
import { invalid, isObject, type JsonFile, type JsonObject, messageOf } from "./json-objects.js";
import { readTokenSettings, type TokenSettings } from "./token-settings.js";

/** Every file that may define a tokenizer. */
export const TOKENIZER_FILES = [
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
] as const;

/** What a model's files say about its tokenizer: `json`, in the form of `tokenizer.json`, unchecked. */
export interface TokenizerFiles extends JsonFile, Pick<TokenSettings, "namedTokens" | "declared"> {
  /** Tokens that a GGUF file names for asking for a middle; null: they are known by their texts alone. */
  readonly infill: NamedInfill | null;
}

/** The start and end token that GPT-2's `vocab.json` holds without saying so. */
const GPT2_END_OF_TEXT = "<|endoftext|>";

/**
 * @returns null when the model has no tokenizer
 * @throws LastrowError `tokenizer_invalid`
 */
export async function readTokenizerFiles(files: ModelFiles): Promise<TokenizerFiles | null> {
  const { json, fileName } =
    (await readJson(files, "tokenizer.json")) ?? (await readVocabAndMerges(files)) ?? {};
  if (json === undefined || fileName === undefined) return null;
  const settings = {
    config: await readJson(files, "tokenizer_config.json"),
    specialTokensMap: await readJson(files, "special_tokens_map.json"),
    addedTokens: await readJson(files, "added_tokens.json"),
  };
  const { namedTokens, declared, surroundings, addPrefixSpace } = readTokenSettings(settings, (content) =>
    hasToken(json, content),
  );
  const { pre_tokenizer: words, post_processor: processor } = json;
  const isByteLevel = isObject(words) && words.type === "ByteLevel";
  return {
    fileName,
    json: {
      ...json,
      pre_tokenizer:
        isByteLevel && addPrefixSpace !== null ? { ...words, add_prefix_space: addPrefixSpace } : words,
      post_processor: surroundings === null ? processor : templateOf(surroundings),
    },
    namedTokens,
    infill: null,
    declared,
  };
}

async function readVocabAndMerges(files: ModelFiles): Promise<JsonFile | null> {
  const vocab = await readJson(files, "vocab.json");
  const merges = await ofTokenizer(readText(files, "merges.txt"));
  if (vocab === null && merges === null) return null;
  if (vocab === null || merges === null) {
    const [there, missing] = vocab === null ? ["merges.txt", "vocab.json"] : ["vocab.json", "merges.txt"];
    throw new LastrowError(
      "tokenizer_invalid",
      `${files.label} has ${there} but no ${missing}; a tokenizer needs both.`,
    );
  }
  const hasEnd = Object.hasOwn(vocab.json, GPT2_END_OF_TEXT);
  return {
    fileName: vocab.fileName,
    json: {
      added_tokens: hasEnd
        ? [{ id: vocab.json[GPT2_END_OF_TEXT], content: GPT2_END_OF_TEXT, special: true }]
        : [],
      normalizer: null,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      post_processor: null,
      decoder: { type: "ByteLevel" },
      model: {
        type: "BPE",
        vocab: vocab.json,
        merges: merges.text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#version")),
      },
    },
  };
}

/** Whether the vocabulary or the added tokens of a `tokenizer.json`, whatever it is, have a token. */
function hasToken({ model, added_tokens: added }: JsonObject, content: string): boolean {
  const vocab = isObject(model) ? model.vocab : null;
  return (
    (isObject(vocab) && Object.hasOwn(vocab, content)) ||
    (Array.isArray(added) && added.some((token: unknown) => isObject(token) && token.content === content))
  );
}

/** A post-processor that puts these tokens around a text. */
function templateOf({ before, after }: NonNullable<TokenSettings["surroundings"]>): JsonObject {
  const token = (content: string | null) => (content === null ? [] : [{ SpecialToken: { id: content } }]);
  return {
    type: "TemplateProcessing",
    single: [...token(before), { Sequence: { id: "A" } }, ...token(after)],
  };
}

async function readJson(files: ModelFiles, name: string): Promise<JsonFile | null> {
  const isVocabulary = name === "tokenizer.json" || name === "vocab.json";
  const limits = isVocabulary ? JSON_LIMITS.tokenizer : JSON_LIMITS.tokenizerSettings;
  const found = await ofTokenizer(readJsonText(files, name, limits));
  if (found === null) return null;
  let json: unknown;
  try {
    json = JSON.parse(found.text);
  } catch (cause) {
    throw invalid(found.name, `is not JSON: ${quoteValue(messageOf(cause))}`, cause);
  }
  if (!isObject(json)) throw invalid(found.name, "is not a JSON object");
  // To read it all again takes as long as all else together.
  if (membersOf(json) !== found.members) {
    const { repeatedKey } = await fetchedCode(import("../formats/json-faults.js"));
    const key = repeatedKey(found.text);
    if (key !== null) throw invalid(found.name, `has the key ${quoteValue(key)} twice in one object`);
  }
  return { json, fileName: found.name };
}

/** Members of all objects in a value. */
function membersOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const within: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  let members = Array.isArray(value) ? 0 : within.length;
  for (const member of within) members += membersOf(member);
  return members;
}

/** Waits for a file, whose faults are the tokenizer's. */
async function ofTokenizer<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof LastrowError) || error.code !== "model_file_invalid") throw error;
    throw new LastrowError("tokenizer_invalid", error.message, { cause: error });
  }
}
