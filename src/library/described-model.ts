/** What a model's files say, whichever format they have: what loading asks of them, in the order in which it asks. */

import type { StoredFamily, WantedContext } from "../architectures/architecture.js";
import { expectArchitecture } from "../architectures/known-architectures.js";
import { type MatchedCheckpoint, matchTensors } from "../architectures/match-tensors.js";
import { readModelConfig } from "../architectures/read-config.js";
import { type FoundTemplate, readChatTemplate } from "../chat/chat-template.js";
import { type Checkpoint, openCheckpoint } from "../formats/checkpoint.js";
import { type GenerationDefaults, readGenerationConfig } from "../formats/generation-config.js";
import type { MetadataEntry } from "../formats/gguf/metadata-entries.js";
import type { ModelFiles } from "../formats/model-files.js";
import type { ModelConfig } from "../model/config.js";
import { loadTokenizer } from "../tokenizer/load-tokenizer.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { ModelFingerprint } from "./model-fingerprint.js";

/** Owns the files that it has open, until `close()`. */
export interface DescribedModel {
  readonly config: ModelConfig;
  readonly family: StoredFamily & { readonly hasEarlierFiles?: true };
  readonly defaults: GenerationDefaults;
  /** What people should know of how the files were read, each a sentence. */
  readonly notices: readonly string[];
  /** What the format has beside config and tensors, if it is GGUF. */
  readonly metadata: readonly MetadataEntry[];
  /** Null: the model has none. */
  tokenizer(): Promise<Tokenizer | null>;
  chatTemplate(): Promise<FoundTemplate>;
  /** Every weight, none read. */
  weights(): Promise<MatchedCheckpoint>;
  close(): Promise<void>;
}

/**
 * A folder of Hugging Face's: `config.json`, `tokenizer.json`, `model.safetensors` and others.
 * @param fingerprint takes what tells this model from others; null: the model is looked at, not loaded
 * @throws LastrowError as the readers of the files
 */
export async function describeFolder(
  files: ModelFiles,
  wanted: WantedContext,
  fingerprint: ModelFingerprint | null,
): Promise<DescribedModel> {
  const texts = fingerprint?.texts(files) ?? files;
  const config = await readModelConfig(texts, wanted);
  const family = expectArchitecture(config.modelType);
  let checkpoint: Checkpoint | null = null;
  return {
    ...{ config, family, notices: files.notices ?? [], metadata: [] },
    // Before the weights are there the other texts may not be, either.
    defaults: fingerprint === null ? {} : await readGenerationConfig(files, config.vocabSize),
    tokenizer: () => loadTokenizer(texts, config.vocabSize),
    chatTemplate: () => readChatTemplate(files),
    async weights() {
      checkpoint = await openCheckpoint(files);
      return matchTensors(checkpoint, family, config.decoder);
    },
    async close() {
      await checkpoint?.close();
    },
  };
}
