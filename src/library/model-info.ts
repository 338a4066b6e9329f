/** What a loaded model is, as its readers see it. */
import type { EmbeddingSettings } from "../formats/embedding-types.js";
import type { MetadataEntry } from "../formats/gguf/metadata-entries.js";
import type { ModelConfig } from "../model/config.js";
import type { EngineInfo } from "../protocol/engine-setup.js";

/** What a model is and what it takes. Sizes in bytes. */
export interface ModelInfo extends EngineInfo {
  /** What messages and results call it: `stories`, a folder, a Hub name, an address. */
  readonly label: string;
  /** Its architecture, from config.json or the metadata of a GGUF file. */
  readonly config: ModelConfig;
  /** Number of weights; a tied `lm_head` counts once. */
  readonly parameters: number;
  /** The files that hold the weights. */
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  /** The checkpoint's tensors, in the order of their names, as they are stored: types, sizes of the dimensions, bytes. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly bytes: number;
  }[];
  /** The metadata of a GGUF file, in its order; of other formats nothing. */
  readonly metadata: readonly MetadataEntry[];
  /** What its files say of vectors of texts: most say nothing. */
  readonly embedding: EmbeddingSettings;
  /** What people should know of how the files were read and the engine was made, each a sentence; mostly none. */
  readonly notices: readonly string[];
  /** Whether the engine runs in a thread of its own. */
  readonly worker: boolean;
}
