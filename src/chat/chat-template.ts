/** Chat templates among a model's files, and what a conversation is made of. */
import { LastrowError } from "../errors.js";
import { JSON_LIMITS, readJsonObject } from "../formats/json-file.js";
import { type ModelFiles, readText } from "../formats/model-files.js";

type ChatRole = "system" | "developer" | "user" | "assistant";

/** One message of a conversation. */
export interface ChatMessage {
  /** The speaker. Which roles may occur, and in which order, is up to the template. */
  readonly role: ChatRole;
  /** The text; what looks like a special token in it is plain text. */
  readonly content: string;
}

const MAX_TEMPLATE_BYTES = 1024 * 1024;

/**
 * The template among a model's files: `chat_template.jinja`, or `chat_template` in `tokenizer_config.json` (of several
 * the one called `default`); null when it has none.
 * @throws LastrowError `tokenizer_invalid`, `model_file_invalid`
 */
export async function readChatTemplate(files: ModelFiles): Promise<string | null> {
  const whole = await readText(files, "chat_template.jinja", MAX_TEMPLATE_BYTES);
  if (whole !== null) return whole.text;
  const config = await readJsonObject(files, "tokenizer_config.json", JSON_LIMITS.tokenizerSettings);
  if (config === null) return null;
  const { chat_template: stated = null } = config.json;
  if (stated === null || typeof stated === "string") return stated;
  if (Array.isArray(stated)) {
    const named = stated.find((entry) => entry?.name === "default") ?? stated[0];
    if (typeof named?.template === "string") return named.template;
  }
  throw new LastrowError("tokenizer_invalid", `${config.name} has a chat_template that is not text.`);
}
