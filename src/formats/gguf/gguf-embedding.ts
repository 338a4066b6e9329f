/** What a GGUF file says of vectors of texts. */
import { type EmbeddingSettings, NO_EMBEDDING, notPooled, RANKS } from "../embedding-types.js";
import type { GgufMetadata } from "./gguf-metadata.js";

/** What a GGUF file says: `pooling_type` as llama.cpp numbers it. */
export function ggufEmbeddingSettings(metadata: GgufMetadata): EmbeddingSettings {
  const key = `${metadata.text("general.architecture")}.pooling_type`;
  const type = metadata.wholeNumber(key, { from: 0, to: 2 ** 31 - 1 }) ?? 0;
  switch (type) {
    case 0:
      return NO_EMBEDDING;
    case 1:
      return { ...NO_EMBEDDING, pooling: "mean" };
    case 3:
      return { ...NO_EMBEDDING, pooling: "last" };
    case 4:
      return { ...NO_EMBEDDING, refused: RANKS, ranking: { yes: null, no: null } };
    default:
      return { ...NO_EMBEDDING, refused: notPooled(`${key} ${type}`) };
  }
}
