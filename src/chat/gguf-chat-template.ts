/** Chat templates in the metadata of a GGUF file. */
import { LastrowError } from "../errors.js";
import type { GgufMetadata } from "../formats/gguf/gguf-metadata.js";
import { type FoundTemplate, MAX_TEMPLATE_BYTES, NO_TEMPLATE, namedTemplatesOnly } from "./chat-template.js";

const KEY = "tokenizer.chat_template";
/** Names of the templates beside the one for all, each under a key of its own. */
const NAMES_KEY = "tokenizer.chat_templates";

/**
 * The template for conversations without tools: the one without a name, else the one called `default`.
 * @throws LastrowError `tokenizer_invalid` when it is too long; as `GgufMetadata`
 */
export function ggufChatTemplate(metadata: GgufMetadata): FoundTemplate {
  const source = metadata.text(KEY) || metadata.text(`${KEY}.default`) || "";
  if (source !== "") {
    if (source.length > MAX_TEMPLATE_BYTES) {
      throw new LastrowError(
        "tokenizer_invalid",
        `${metadata.fileName} has a chat template (${KEY}) of ${source.length} characters; at most ${MAX_TEMPLATE_BYTES} are read.`,
      );
    }
    return { source };
  }
  const names = metadata.texts(NAMES_KEY) ?? [];
  return names.length === 0 ? NO_TEMPLATE : namedTemplatesOnly(names);
}
