/** Opens a model's files, whichever format they have, and reads what they say. */
import type { WantedContext } from "../architectures/architecture.js";
import { expectArchitecture } from "../architectures/known-architectures.js";
import { matchTensors } from "../architectures/match-tensors.js";
import { readModelConfig } from "../architectures/read-config.js";
import { readChatTemplate } from "../chat/chat-template.js";
import { type Checkpoint, openCheckpoint } from "../formats/checkpoint.js";
import { readEmbeddingSettings } from "../formats/embedding-settings.js";
import { FilesAhead } from "../formats/files-ahead.js";
import { readGenerationConfig } from "../formats/generation-config.js";
import type { ModelFiles } from "../formats/model-files.js";
import { readTokenizerFiles } from "../tokenizer/tokenizer-files.js";
import type { DescribedModel } from "./described-model.js";
import type { ModelFingerprint } from "./model-fingerprint.js";

/**
 * @param wanted the context to load the model with
 * @param fingerprint takes what tells this model from others; null: the model is looked at, not loaded, and no more is read
 *   than its config or a GGUF file's headers
 * @throws LastrowError as the readers of the files
 */
export async function describeModel(
  files: ModelFiles,
  wanted: WantedContext,
  fingerprint: ModelFingerprint | null,
): Promise<DescribedModel> {
  if (files.gguf === undefined) return describeFolder(files, wanted, fingerprint);
  // By itself a seventh of the code that a page would load at first.
  const { describeGguf } = await import("./describe-gguf.js");
  return describeGguf(files, files.gguf, wanted, fingerprint);
}

/** Files that are asked for whenever a folder with a tokenizer is loaded, in that order. */
const ALWAYS_READ = [
  ...["config.json", "generation_config.json"],
  ...["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"],
  ...["chat_template.jinja", "modules.json"],
];

/** A folder of Hugging Face's: `config.json`, `tokenizer.json`, `model.safetensors` and others. */
async function describeFolder(
  given: ModelFiles,
  wanted: WantedContext,
  fingerprint: ModelFingerprint | null,
): Promise<DescribedModel> {
  const files = new FilesAhead(given, fingerprint === null ? [] : ALWAYS_READ);
  try {
    const texts = fingerprint?.texts(files) ?? files;
    const config = await readModelConfig(texts, wanted);
    const family = expectArchitecture(config.modelType);
    let checkpoint: Checkpoint | null = null;
    return {
      ...{ config, family, notices: given.notices ?? [], metadata: [] },
      // Before the weights are there the other texts may not be, either.
      defaults: fingerprint === null ? {} : await readGenerationConfig(files, config.vocabSize),
      async tokenizer() {
        const read = await readTokenizerFiles(texts);
        if (read === null) return null;
        // A quarter of the code that a page would load at first, which a model without a tokenizer never uses.
        const { tokenizerOf } = await import("../tokenizer/load-tokenizer.js");
        return tokenizerOf(read, config.vocabSize);
      },
      chatTemplate: () => readChatTemplate(files),
      embedding: () => readEmbeddingSettings(files),
      async weights() {
        checkpoint = await openCheckpoint(files);
        return matchTensors(checkpoint, family, config.decoder);
      },
      async close() {
        await checkpoint?.close();
        await files.close();
      },
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}
