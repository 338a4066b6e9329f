/** A chat template with the tokenizer that its prompts are for, both in the thread that they are used in. */
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { ChatRenderer } from "./chat-renderer.js";
import type { ChatMessage } from "./chat-template.js";
import { PromptEncoder } from "./prompt-encoder.js";

/** What one prompt may take. */
export interface TemplateLimits {
  readonly deadlineMs: number;
  readonly contextLength: number;
}

export class ChatTemplate {
  readonly #renderer: ChatRenderer;
  readonly #tokenizer: Tokenizer;
  readonly #encoder: PromptEncoder;
  readonly #deadlineMs: number;

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
  encode(messages: readonly ChatMessage[], addGenerationPrompt = true): number[] {
    const runs = this.#renderer.render(messages, {
      addGenerationPrompt,
      namedTokens: this.#tokenizer.namedTokens,
      deadlineMs: this.#deadlineMs,
    });
    return this.#encoder.encode(runs, messages);
  }
}
