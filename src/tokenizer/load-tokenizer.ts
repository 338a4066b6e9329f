/** From a model's files to a tokenizer. */
import type { ModelFiles } from "../formats/model-files.js";
import { tokenizerOf } from "./make-tokenizer.js";
import type { Tokenizer } from "./tokenizer.js";
import { readTokenizerFiles } from "./tokenizer-files.js";

/**
 * Reads `tokenizer.json`, or `vocab.json` with `merges.txt`; and what `tokenizer_config.json`,
 * `special_tokens_map.json` and `added_tokens.json`, if there, say of its tokens.
 *
 * @param vocabSize the model's: ids that it can take are below it
 * @returns null when the model has no tokenizer
 * @throws LastrowError `tokenizer_invalid` naming the file and what is wrong with it; `model_unsupported` when the
 *   files are sound and ask for what is not done here
 */
export async function loadTokenizer(files: ModelFiles, vocabSize: number): Promise<Tokenizer | null> {
  const read = await readTokenizerFiles(files);
  return read === null ? null : tokenizerOf(read, vocabSize);
}
