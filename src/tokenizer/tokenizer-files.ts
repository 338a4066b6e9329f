/**
 * The files that define a tokenizer, as JSON: `tokenizer.json`, or GPT-2's older `vocab.json` with `merges.txt` written
 * as `tokenizer.json` would say it. Checks that they are JSON objects without repeated keys or deep nesting, nothing
 * else. Vocabularies rightly hold keys such as `constructor`, so no key is forbidden; nobody may look keys up through
 * a prototype.
 */
import { visit } from "jsonc-parser";
import { LastrowError } from "../errors.js";
import { JSON_LIMITS, readJsonText } from "../formats/json-file.js";
import { type ModelFiles, readText } from "../formats/model-files.js";
import { quoteValue } from "../formats/quote-value.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/** What a model's files say about its tokenizer, unchecked but for being JSON objects. */
export interface TokenizerFiles {
  /** In the form of `tokenizer.json`. */
  readonly json: JsonObject;
  /** The file that messages about `json` name. */
  readonly fileName: string;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
}

/** The start and end token that GPT-2's `vocab.json` holds without saying so. */
const GPT2_END_OF_TEXT = "<|endoftext|>";

/**
 * @returns null when the model has no tokenizer
 * @throws LastrowError `tokenizer_invalid`
 */
export async function readTokenizerFiles(files: ModelFiles): Promise<TokenizerFiles | null> {
  const whole = await readJson(files, "tokenizer.json");
  const vocab = whole === null ? await readJson(files, "vocab.json") : null;
  const merges = whole === null ? await ofTokenizer(readText(files, "merges.txt")) : null;
  if (whole === null && vocab === null && merges === null) return null;

  const config = await readJson(files, "tokenizer_config.json");
  const named = (field: string) => (config === null ? null : tokenName(config, field));
  const tokens = { bosToken: named("bos_token"), eosToken: named("eos_token") };
  if (whole !== null) return { ...whole, ...tokens };
  if (vocab === null || merges === null) {
    const [there, missing] = vocab === null ? ["merges.txt", "vocab.json"] : ["vocab.json", "merges.txt"];
    throw new LastrowError(
      "tokenizer_invalid",
      `${files.label} has ${there} but no ${missing}; a tokenizer needs both.`,
    );
  }
  const special = new Set([GPT2_END_OF_TEXT, tokens.bosToken, tokens.eosToken, named("unk_token")]);
  return {
    fileName: vocab.fileName,
    json: {
      added_tokens: [...special]
        .filter((content) => content !== null && Object.hasOwn(vocab.json, content))
        .map((content) => ({ id: vocab.json[content!], content, special: true })),
      normalizer: null,
      pre_tokenizer: {
        type: "ByteLevel",
        add_prefix_space: config?.json.add_prefix_space === true,
        use_regex: true,
      },
      post_processor: null,
      decoder: { type: "ByteLevel" },
      model: {
        type: "BPE",
        vocab: vocab.json,
        merges: merges.text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#version")),
      },
    },
    ...tokens,
  };
}

/** A token that `tokenizer_config.json` names: a text, an object with its `content`, or null. */
function tokenName({ json, fileName }: { json: JsonObject; fileName: string }, field: string): string | null {
  const value = Object.hasOwn(json, field) ? (json[field] ?? null) : null;
  const name = isObject(value) ? value.content : value;
  if (name === null || typeof name === "string") return name;
  throw invalid(fileName, `has ${quoteValue(value)} as ${field}, but that must be a text or null`);
}

async function readJson(files: ModelFiles, name: string) {
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
  checkKeys(found.text, found.name);
  return { json, fileName: found.name };
}

/** What `JSON.parse` does not report: a key that comes twice in one object. */
function checkKeys(text: string, fileName: string): void {
  const keys: Set<string>[] = [];
  visit(text, {
    onObjectBegin() {
      keys.push(new Set());
    },
    onObjectProperty(key) {
      const seen = keys.at(-1)!;
      if (seen.has(key)) throw invalid(fileName, `has the key ${quoteValue(key)} twice in one object`);
      seen.add(key);
    },
    onObjectEnd() {
      keys.pop();
    },
  });
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

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A `tokenizer_invalid`: a file that is not what it must be. */
export function invalid(fileName: string, problem: string, cause?: unknown): LastrowError {
  return new LastrowError("tokenizer_invalid", `${fileName} ${problem}.`, { cause });
}

/** A `model_unsupported`: a sound file that asks for what is not done here. */
export function unsupported(fileName: string, what: string): LastrowError {
  return new LastrowError("model_unsupported", `${fileName} ${what}.`);
}
