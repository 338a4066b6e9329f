/** Opens a model's files, whichever format they have, and reads what they say. */
import type { WantedContext } from "../architectures/architecture.js";
import { fetchedCode } from "../fetched-code.js";
import { FilesAhead } from "../formats/files-ahead.js";
import type { ModelFiles } from "../formats/model-files.js";
import type { DescribedModel } from "./described-model.js";
import type { ModelFingerprint } from "./model-fingerprint.js";

/** Files that are asked for whenever a folder with a tokenizer is loaded, in that order. */
const ALWAYS_READ = [
  ...["config.json", "generation_config.json"],
  ...["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"],
  ...["chat_template.jinja", "modules.json"],
];

/**
 * @param wanted the context to load the model with
 * @param fingerprint takes what tells this model from others; null: the model is looked at, not loaded, and no more is read
 *   than its config or a GGUF file's headers
 * @throws LastrowError as the readers of the files; `code_unavailable`
 */
export async function describeModel(
  files: ModelFiles,
  wanted: WantedContext,
  fingerprint: ModelFingerprint | null,
): Promise<DescribedModel> {
  const { gguf, notices = [] } = files;
  // What reads a format is fetched where it is used, beside the files.
  const ahead = new FilesAhead(files, gguf !== undefined || fingerprint === null ? [] : ALWAYS_READ);
  try {
    if (gguf === undefined) {
      const { describeFolder } = await fetchedCode(import("./describe-folder.js"));
      return await describeFolder(ahead, notices, wanted, fingerprint);
    }
    ahead.begin(gguf[0]);
    const { describeGguf } = await fetchedCode(import("./describe-gguf.js"));
    const open = (name: string) => ahead.open(name);
    return await describeGguf({ label: files.label, notices, open }, gguf, wanted, fingerprint);
  } catch (error) {
    await ahead.close();
    throw error;
  }
}
