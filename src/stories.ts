/**
 * Addresses of the embedded model's files, for bundlers: `load(stories)` works in a page, and the six megabytes are
 * fetched only then. In Node `load()` finds them by itself.
 */
export const stories: Readonly<Record<string, URL>> = {
  "config.json": new URL("../models/stories/config.json", import.meta.url),
  "generation_config.json": new URL("../models/stories/generation_config.json", import.meta.url),
  "model.safetensors": new URL("../models/stories/model.safetensors", import.meta.url),
  "tokenizer.json": new URL("../models/stories/tokenizer.json", import.meta.url),
  "tokenizer_config.json": new URL("../models/stories/tokenizer_config.json", import.meta.url),
};
