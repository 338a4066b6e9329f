/** Chat templates among a model's files, and what a conversation is made of. */
import { LastrowError } from "../errors.js";
import { JSON_LIMITS, readJsonObject } from "../formats/json-file.js";
import { type ModelFiles, readText } from "../formats/model-files.js";
import { quoteValue } from "../quote-value.js";
import type { ToolCall } from "../tools/tool.js";

type ChatRole = "system" | "developer" | "user" | "assistant" | "tool";

/** A part of a message. */
export interface TextPart {
  readonly type: "text";
  readonly text: string;
}

/** One message of a conversation. */
export interface ChatMessage {
  /** The speaker. Which roles may occur, and in which order, is up to the template. */
  readonly role: ChatRole;
  /**
   * The text; what looks like a special token in it is plain text. A list of parts is handed over to a template that
   * reads lists; to any other, the parts are joined.
   */
  readonly content: string | readonly TextPart[];
  /**
   * What the assistant thought before it said this. It is handed over as `reasoning_content`: whether any of it gets into
   * the prompt is up to the template, and most drop it.
   */
  readonly reasoning?: string | undefined;
  /** Calls that the assistant made, beside its text, which may be empty. A message of the role `tool` answers each. */
  readonly toolCalls?: readonly ToolCall[] | undefined;
  /** Of a tool's message, which has the result of a call: the id of that call. */
  readonly toolCallId?: string | undefined;
  /** Of a tool's message: the tool's name. Default: that of the call. */
  readonly name?: string | undefined;
}

export const MAX_TEMPLATE_BYTES = 1024 * 1024;

/**
 * Variables that the authors of a template have given it, such as `enable_thinking`. Plain data. What looks like a special token in it is plain text.
 */
export type TemplateVariables = Readonly<Record<string, unknown>>;

/** The template of a model's files, or why there is none: words that follow the model's name. */
export type FoundTemplate = { readonly source: string } | { readonly missing: string };

export const NO_TEMPLATE: FoundTemplate = { missing: "has no chat template" };

/**
 * The template among a model's files, as transformers chooses it for conversations without tools:
 * `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`, of several the one called `default`. Files of
 * processors (`chat_template.json`) come last.
 * @throws LastrowError `tokenizer_invalid`, `model_file_invalid`
 */
export async function readChatTemplate(files: ModelFiles): Promise<FoundTemplate> {
  const whole = await readText(files, "chat_template.jinja", MAX_TEMPLATE_BYTES);
  if (whole !== null) return { source: whole.text };
  let found = NO_TEMPLATE;
  for (const name of ["tokenizer_config.json", "chat_template.json"]) {
    const file = await readJsonObject(files, name, JSON_LIMITS.tokenizerSettings);
    if (file !== null) found = templateIn(file.json.chat_template ?? null, file.name);
    if (found !== NO_TEMPLATE) break;
  }
  return found;
}

function templateIn(stated: unknown, fileName: string): FoundTemplate {
  if (stated === null) return NO_TEMPLATE;
  if (typeof stated === "string") return sourceIn(stated, fileName);
  const templates = namedTemplates(stated);
  if (templates === null) {
    throw new LastrowError(
      "tokenizer_invalid",
      `${fileName}: chat_template is ${quoteValue(stated)}, but must be a text or a list of { name, template }.`,
    );
  }
  const chosen = templates.get("default");
  if (chosen !== undefined) return sourceIn(chosen, fileName);
  return templates.size === 0 ? NO_TEMPLATE : namedTemplatesOnly([...templates.keys()]);
}

/** @throws LastrowError `tokenizer_invalid` when it is too long: as a file of its own, or in a GGUF file, it would be, too */
function sourceIn(source: string, fileName: string): FoundTemplate {
  if (source.length <= MAX_TEMPLATE_BYTES) return { source };
  throw new LastrowError(
    "tokenizer_invalid",
    `${fileName} has a chat_template of ${source.length} characters; at most ${MAX_TEMPLATE_BYTES} are read.`,
  );
}

/** For a model whose templates all have names, and none that of the one to choose. */
export function namedTemplatesOnly(names: readonly string[]): FoundTemplate {
  const some = names
    .slice(0, 8)
    .map((name) => quoteValue(name))
    .join(", ");
  return { missing: `has chat templates named ${some} and none named "default"` };
}

/** Null where it is not a list of templates with names. */
function namedTemplates(stated: unknown): ReadonlyMap<string, string> | null {
  if (!Array.isArray(stated)) return null;
  const templates = new Map<string, string>();
  for (const entry of stated) {
    if (typeof entry?.name !== "string" || typeof entry.template !== "string") return null;
    templates.set(entry.name, entry.template);
  }
  return templates;
}
