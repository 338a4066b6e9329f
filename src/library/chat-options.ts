/** How a conversation is told to the model: its options, checked, with the template that it follows. */
import type { FoundTemplate, TemplateVariables } from "../chat/chat-template.js";
import { Sequence } from "../client/sequence.js";
import { invalidArgument, LastrowError } from "../errors.js";
import { checkOptions, oneOf, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { CALL_FORMATS, type CallFormatName } from "../tools/call-format.js";
import type { ConversationSettings } from "./conversation.js";
import { withoutTokenizer } from "./prompt-ids.js";

/** How a conversation is told to the model. */
export interface ChatOptions {
  /** A Jinja template in place of the model's own. */
  readonly template?: string | undefined;
  /**
   * More variables of the template, as its authors define them: `{ enable_thinking: false }` for Qwen 3, say. Plain data; what
   * looks like a special token in it is plain text.
   */
  readonly templateVariables?: TemplateVariables | undefined;
  /**
   * Drop the oldest turns when the context has no room for an answer: as many as leave half of it. Default false: then such
   * an answer fails with `context_length_exceeded`.
   */
  readonly dropOldest?: boolean | undefined;
  /** How the model writes calls of tools; docs/tools.md has the forms. Default: as its template asks for them. */
  readonly toolFormat?: CallFormatName | undefined;
  /** With `dropOldest`: never drop a system message. Default false: it is the oldest of all. */
  readonly keepSystem?: boolean | undefined;
  /**
   * What held the keys and values of these messages, as `Conversation.sequence` was saved and `restore` gives it: what of
   * it the next prompt begins with is found. It belongs to the conversation then.
   */
  readonly sequence?: Sequence | undefined;
}

const CHAT_OPTIONS = optionNames<ChatOptions>()("chat", {
  ...{ template: true, templateVariables: true, toolFormat: true },
  ...{ dropOldest: true, keepSystem: true, sequence: true },
});

/** What is needed of a model. */
interface ChatModel {
  readonly label: string;
  readonly tokenizer: Tokenizer | null;
  /** The model's own template, or why it has none. */
  readonly chatTemplate: FoundTemplate;
}

/**
 * How a conversation is held, all but what runs its template.
 * @throws LastrowError `tokenizer_missing`, `chat_template_missing`, `invalid_argument`
 */
export function chatSettings(
  { label, tokenizer, chatTemplate }: ChatModel,
  options: ChatOptions,
): Omit<ConversationSettings, "runner"> {
  checkOptions(options, CHAT_OPTIONS);
  if (tokenizer === null) throw withoutTokenizer(label);
  const { templateVariables: variables = {}, dropOldest = false, keepSystem = false, sequence } = options;
  const { toolFormat } = options;
  if (toolFormat !== undefined) oneOf("toolFormat", toolFormat, CALL_FORMATS);
  if (keepSystem && !dropOldest) throw invalidArgument("keepSystem belongs to dropOldest; give it, too.");
  if (sequence !== undefined && !(sequence instanceof Sequence)) {
    throw invalidArgument(`sequence is a sequence that restore gave, not ${shown(sequence)}.`);
  }
  const found = options.template === undefined ? chatTemplate : { source: options.template };
  if (!("source" in found)) {
    throw new LastrowError(
      "chat_template_missing",
      `${label} ${found.missing}; take a model that has one, such as Qwen/Qwen3-0.6B-GGUF, give one of your own (template), or continue texts with generate.`,
    );
  }
  return { template: found.source, tokenizer, variables, toolFormat, dropOldest, keepSystem };
}
