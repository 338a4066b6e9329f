/** A chat template with the tokenizer that its prompts are for, both in the thread that they are used in. */
import type { HeapLook } from "../platform/limited-thread.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { type CallFormat, type CallFormatName, callFormat, callFormatOf } from "../tools/call-format.js";
import type { ToolDefinition } from "../tools/tool.js";
import { textOf } from "./chat-messages.js";
import { ChatRenderer } from "./chat-renderer.js";
import type { ChatMessage, TemplateVariables } from "./chat-template.js";
import type { Run } from "./jinja/text.js";
import { PromptEncoder } from "./prompt-encoder.js";
import { type AnswerThoughts, answerThoughts, type ThoughtMarkers, thoughtMarkers } from "./thoughts.js";
import { turnEnds } from "./turn-end.js";

/** What one prompt may take. */
export interface TemplateLimits {
  readonly deadlineMs: number;
  readonly contextLength: number;
  /** Of the thread that it is rendered in; default: it is not known. */
  readonly heapLook?: HeapLook | undefined;
}

/** How one prompt is made. */
export interface ChatPromptOptions {
  /** Whether it ends with the beginning of the assistant's answer. Default true. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Whether the last message, an assistant's, goes on: the prompt ends with its text. Default false. */
  readonly continueLast?: boolean | undefined;
  /** What the model may call, checked. Default: nothing. */
  readonly tools?: readonly ToolDefinition[] | undefined;
  /** More variables of the template. */
  readonly variables?: TemplateVariables | undefined;
}

/** A conversation as the model is asked it. */
export interface EncodedChat {
  readonly tokens: number[];
  /** How the thoughts of its answer are told from the text; null: there are none. */
  readonly thoughts: AnswerThoughts | null;
  /** How the model writes calls; null: in no form that is known. */
  readonly callFormat: CallFormat | null;
}

export class ChatTemplate {
  readonly #renderer: ChatRenderer;
  readonly #tokenizer: Tokenizer;
  readonly #encoder: PromptEncoder;
  readonly #deadlineMs: number;
  readonly #thoughts: ThoughtMarkers | null;
  readonly #callFormat: CallFormat | null;
  /** Looked for with the first conversation. */
  #turnEnds: Promise<readonly number[]> | null = null;

  /**
   * @param limits `deadlineMs` of rendering one conversation, `contextLength` in tokens
   * @param toolFormat how the model writes calls; default: as the template asks for them
   * @throws LastrowError `tokenizer_invalid` when the template cannot be parsed
   */
  constructor(
    source: string,
    tokenizer: Tokenizer,
    { deadlineMs, contextLength, heapLook }: TemplateLimits,
    toolFormat?: CallFormatName,
  ) {
    this.#renderer = new ChatRenderer(source, heapLook);
    this.#tokenizer = tokenizer;
    this.#encoder = new PromptEncoder(tokenizer, contextLength);
    this.#deadlineMs = deadlineMs;
    this.#thoughts = thoughtMarkers(source, tokenizer);
    this.#callFormat =
      toolFormat === undefined ? callFormatOf(source, tokenizer) : callFormat(toolFormat, tokenizer);
  }

  /**
   * A conversation, rendered and tokenised.
   * @throws LastrowError as `ChatRenderer.render` and `PromptEncoder.encode`
   */
  encode(messages: readonly ChatMessage[], options: ChatPromptOptions = {}): EncodedChat {
    const runs = this.#render(messages, options);
    // What goes on behind a text is text.
    const isText = options.continueLast === true && textOf(messages[messages.length - 1]).trim() !== "";
    return {
      tokens: this.#encoder.encode(runs, messages, options.tools),
      thoughts: isText ? null : answerThoughts(this.#thoughts, runs),
      callFormat: this.#callFormat,
    };
  }

  /** The tokens with which the template ends an answer; see `turnEnds`. */
  turnEnds(): Promise<readonly number[]> {
    this.#turnEnds ??= turnEnds(
      (messages) => this.#render(messages, { addGenerationPrompt: false }),
      this.#encoder,
    );
    return this.#turnEnds;
  }

  #render(messages: readonly ChatMessage[], options: ChatPromptOptions): readonly Run[] {
    const { addGenerationPrompt = true, continueLast = false, tools = [], variables = {} } = options;
    return this.#renderer.render(messages, {
      addGenerationPrompt,
      continueLast,
      tools,
      variables,
      namedTokens: this.#tokenizer.namedTokens,
      deadlineMs: this.#deadlineMs,
    });
  }
}
