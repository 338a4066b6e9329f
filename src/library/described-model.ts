/** What a model's files say, whichever format they have: what loading asks of them, in the order in which it asks. */
import type { StoredFamily } from "../architectures/architecture.js";
import type { MatchedCheckpoint } from "../architectures/match-tensors.js";
import type { FoundTemplate } from "../chat/chat-template.js";
import type { EmbeddingSettings } from "../formats/embedding-types.js";
import type { GenerationDefaults } from "../formats/generation-config.js";
import type { MetadataEntry } from "../formats/gguf/metadata-entries.js";
import type { ModelConfig } from "../model/config.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";

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
  /** What the files say of vectors of texts. */
  embedding(): Promise<EmbeddingSettings>;
  /** Every weight, none read. */
  weights(): Promise<MatchedCheckpoint>;
  close(): Promise<void>;
}

/** The files that hold a model's weights: their plain names, and their sizes in bytes. */
export function filesOfWeights({
  tensors,
}: MatchedCheckpoint): { readonly name: string; readonly bytes: number }[] {
  const files = [...new Set([...tensors.values()].map(({ file }) => file))];
  return files.map(({ name, size }) => ({ name: name.split(/[/\\]/).at(-1)!, bytes: size }));
}
