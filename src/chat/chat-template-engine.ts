/** A chat template with the tokenizer that its prompts are for, both in the thread that they are used in. */
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { ChatRenderer } from "./chat-renderer.js";
import type { ChatMessage, TemplateVariables } from "./chat-template.js";
import type { Run } from "./jinja/text.js";
import { PromptEncoder } from "./prompt-encoder.js";
import { turnEnds } from "./turn-end.js";

/** What one prompt may take. */
export interface TemplateLimits {
  readonly deadlineMs: number;
  readonly contextLength: number;
}

/** How one prompt is made. */
export interface ChatPromptOptions {
  /** Whether it ends with the beginning of the assistant's answer. Default true. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** More variables of the template. */
  readonly variables?: TemplateVariables | undefined;
}

export class ChatTemplate {
  readonly #renderer: ChatRenderer;
  readonly #tokenizer: Tokenizer;
  readonly #encoder: PromptEncoder;
  readonly #deadlineMs: number;
  /** Looked for with the first conversation. */
  #turnEnds: Promise<readonly number[]> | null = null;

  /**
   * @param limits `deadlineMs` of rendering one conversation, `contextLength` in tokens
   * @throws LastrowError `tokenizer_invalid` when the template cannot be parsed
   */
  constructor(source: string, tokenizer: Tokenizer, { deadlineMs, contextLength }: TemplateLimits) {
    this.#renderer = new ChatRenderer(source);
    this.#tokenizer = tokenizer;
    this.#encoder = new PromptEncoder(tokenizer, contextLength);
    this.#deadlineMs = deadlineMs;
  }

  /**
   * The token ids of a conversation.
   * @throws LastrowError as `ChatRenderer.render` and `PromptEncoder.encode`
   */
  encode(messages: readonly ChatMessage[], options: ChatPromptOptions = {}): number[] {
    return this.#encoder.encode(this.#render(messages, options), messages);
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
    const { addGenerationPrompt = true, variables = {} } = options;
    return this.#renderer.render(messages, {
      addGenerationPrompt,
      variables,
      namedTokens: this.#tokenizer.namedTokens,
      deadlineMs: this.#deadlineMs,
    });
  }
}
