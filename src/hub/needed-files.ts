/**
 * Which of a repository's files lastrow reads. Asked twice: of the cache, whether all is there, and of the Hub's
 * listing, what to fetch; one function answers both.
 */
import { LastrowError } from "../errors.js";
import { JSON_LIMITS, jsonObjectOf } from "../formats/json-file.js";
import { quoteValue } from "../quote-value.js";

export const CONFIG = "config.json";
export const WEIGHTS = "model.safetensors";
export const WEIGHTS_INDEX = "model.safetensors.index.json";
/** Largest index that is read, in bytes. */
export const MAX_INDEX_BYTES = JSON_LIMITS.tensors.bytes;

/** Every file that may be asked for, but for the shards. */
export const FILE_NAMES = [
  CONFIG,
  "generation_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  WEIGHTS,
  WEIGHTS_INDEX,
] as const;

export type FileName = (typeof FILE_NAMES)[number];

/** `absent`: the repository has no such file. `unknown`: it may have, but it is not here. */
export type Presence = "present" | "absent" | "unknown";

/** What somebody needs of a repository. */
export interface FileNeeds {
  /** False: not the weights. Default true. */
  readonly weights?: boolean | undefined;
}

/**
 * Sorts the files that matter by where they are: `vocab.json` and `merges.txt` matter only without `tokenizer.json`, the
 * index only without `model.safetensors`, neither of them without a need for weights. The shards come on top when
 * `WEIGHTS_INDEX` is among the present. Weights come last.
 */
export function neededFiles(
  presence: (name: FileName) => Presence,
  { weights = true }: FileNeeds = {},
): Record<Presence, FileName[]> {
  const found: Record<Presence, FileName[]> = { present: [], absent: [], unknown: [] };
  const needs = (name: FileName): boolean => {
    const where = presence(name);
    found[where].push(name);
    return where === "present";
  };
  needs(CONFIG);
  needs("generation_config.json");
  needs("tokenizer_config.json");
  needs("special_tokens_map.json");
  needs("added_tokens.json");
  needs("chat_template.jinja");
  if (!needs("tokenizer.json")) {
    needs("vocab.json");
    needs("merges.txt");
  }
  if (weights && !needs(WEIGHTS)) needs(WEIGHTS_INDEX);
  return found;
}

/**
 * The shards that a `model.safetensors.index.json` names, each once, sorted.
 * @param fileName what messages call the index
 * @throws LastrowError `model_file_invalid` when it is not an index or names something else than plain files
 */
export function shardNames(bytes: Uint8Array, fileName: string): string[] {
  const weightMap = jsonObjectOf(bytes, fileName, JSON_LIMITS.tensors).weight_map;
  if (typeof weightMap !== "object" || weightMap === null || Array.isArray(weightMap)) {
    invalid(`${fileName}: weight_map is ${quoteValue(weightMap)}, but must map tensor names to shard names`);
  }
  const names = new Set<string>();
  for (const name of Object.values(weightMap)) {
    if (typeof name !== "string" || name.length > 255 || !/^[\w-][\w.+ -]*\.safetensors$/.test(name)) {
      invalid(
        `${fileName} names the shard ${quoteValue(name)}, but a shard must be a plain file name that ends in .safetensors`,
      );
    }
    names.add(name);
  }
  if (names.size === 0) invalid(`${fileName}: weight_map is empty`);
  return [...names].sort();
}

function invalid(sentence: string): never {
  throw new LastrowError("model_file_invalid", `${sentence}.`);
}
