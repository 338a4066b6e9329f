/**
 * Which of a repository's files lastrow reads. Asked twice: of the cache, whether all is there, and of the Hub's
 * listing, what to fetch; one function answers both.
 */
import { PROMPTS } from "../formats/embedding-settings.js";
import { MODULES } from "../formats/embedding-types.js";
import { JSON_LIMITS, jsonObjectOf } from "../formats/json-file.js";
import { isNested, NESTED_FILES } from "../formats/model-files.js";
import { readWeightMap, WEIGHTS, WEIGHTS_INDEX } from "../formats/shard-index.js";
import { TOKENIZER_FILES } from "../tokenizer/tokenizer-files.js";

export const CONFIG = "config.json";
/** Largest index that is read, in bytes. */
export const MAX_INDEX_BYTES = JSON_LIMITS.tensors.bytes;

/** Every file that may be asked for, but for the shards. Weights come last. */
export const FILE_NAMES = [
  CONFIG,
  "generation_config.json",
  "chat_template.jinja",
  "chat_template.json",
  ...TOKENIZER_FILES,
  MODULES,
  PROMPTS,
  ...NESTED_FILES,
  WEIGHTS,
  WEIGHTS_INDEX,
] as const;

export type FileName = (typeof FILE_NAMES)[number];

/** `absent`: the repository has no such file. `unknown`: it may have, but it is not here. */
export type Presence = "present" | "absent" | "unknown";

/** What is needed of a repository. */
export interface FileNeeds {
  /** False: not the weights. Default true. */
  readonly weights?: boolean | undefined;
}

/**
 * Sorts the files that matter by where they are: `vocab.json` and `merges.txt` matter only without `tokenizer.json`, what
 * makes vectors of texts only with `modules.json`, the index only without `model.safetensors`, neither of them without a
 * need for weights. The shards come on top when
 * `WEIGHTS_INDEX` is among the present. Weights come last.
 */
export function neededFiles(
  presence: (name: FileName) => Presence,
  { weights = true }: FileNeeds = {},
): Record<Presence, FileName[]> {
  const has = (name: FileName) => presence(name) === "present";
  const matters = (name: FileName): boolean => {
    if (name === "vocab.json" || name === "merges.txt") return !has("tokenizer.json");
    if (name === PROMPTS || isNested(name)) return has(MODULES);
    if (name === WEIGHTS) return weights;
    if (name === WEIGHTS_INDEX) return weights && !has(WEIGHTS);
    return true;
  };
  const found: Record<Presence, FileName[]> = { present: [], absent: [], unknown: [] };
  for (const name of FILE_NAMES.filter(matters)) found[presence(name)].push(name);
  return found;
}

/**
 * The shards that a `model.safetensors.index.json` names, each once, sorted.
 * @param fileName what messages call the index
 * @throws LastrowError `model_file_invalid` when it is not an index or names something else than plain files
 */
export async function shardNames(bytes: Uint8Array, fileName: string): Promise<string[]> {
  const index = await jsonObjectOf(bytes, fileName, JSON_LIMITS.tensors);
  return [...new Set(readWeightMap(index, fileName).values())].sort();
}
