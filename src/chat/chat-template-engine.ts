/**
 * From the messages of a conversation to token ids, by a chat template.
 *
 * The text of a message never becomes a special token, whatever it says, while the special tokens that the template
 * itself writes do: messages are marked (message-marks.ts), the rendered text is cut at the special tokens that are left
 * whole, and what lies between is encoded as plain text, without the marks.
 */
import { Template } from "@huggingface/jinja";
import { LastrowError } from "../errors.js";
import { AddedTokenSplitter } from "../tokenizer/added-tokens.js";
import type { SpecialToken, Tokenizer } from "../tokenizer/tokenizer.js";
import type { ChatMessage } from "./chat-template.js";
import { MessageMarker } from "./message-marks.js";

const ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant"]);

/** A template, ready to be filled in. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokenizer: Tokenizer;
  readonly #specials: AddedTokenSplitter<SpecialToken>;
  readonly #marker: MessageMarker;

  /** @throws LastrowError `tokenizer_invalid` when the template cannot be parsed */
  constructor(source: string, tokenizer: Tokenizer) {
    try {
      this.#template = new Template(source);
    } catch (cause) {
      throw new LastrowError("tokenizer_invalid", `The chat template is not valid: ${said(cause)}.`, {
        cause,
      });
    }
    this.#tokenizer = tokenizer;
    const { specialTokens } = tokenizer;
    this.#specials = new AddedTokenSplitter(specialTokens.map((token) => [token.content, token]));
    this.#marker = new MessageMarker(
      specialTokens.map(({ content }) => content),
      source,
    );
  }

  /**
   * The token ids of a conversation, the beginning of the assistant's answer at its end unless told otherwise.
   * @throws LastrowError `invalid_argument` for messages that are none, or that the template refuses
   */
  encode(messages: readonly ChatMessage[], addGenerationPrompt = true): number[] {
    checkMessages(messages);
    const marks = this.#marker.marksFor(messages.map(({ content }) => content));
    const rendered = this.#render(
      messages.map(({ role, content }) => ({ role, content: marks.mark(content) })),
      addGenerationPrompt,
    );
    return this.#specials.split(rendered).flatMap(({ text, token }) => {
      if (token !== null) return [token.id];
      const plain = marks.unmark(text);
      return plain === "" ? [] : this.#tokenizer.encode(plain, { addSpecialTokens: false });
    });
  }

  #render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
    const { bosTokenId, eosTokenId } = this.#tokenizer;
    const named = (id: number | null) => (id === null ? "" : this.#tokenizer.tokenText(id));
    let rendered: unknown;
    try {
      rendered = this.#template.render({
        messages,
        add_generation_prompt: addGenerationPrompt,
        bos_token: named(bosTokenId),
        eos_token: named(eosTokenId),
      });
    } catch (cause) {
      throw new LastrowError(
        "invalid_argument",
        `The chat template refuses these messages: ${said(cause)}.`,
        {
          cause,
        },
      );
    }
    return String(rendered);
  }
}

function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new LastrowError("invalid_argument", "messages is a list of at least one message.");
  }
  for (const [i, message] of messages.entries()) {
    if (!ROLES.has(message?.role) || typeof message.content !== "string") {
      throw new LastrowError(
        "invalid_argument",
        `Message ${i} is not { role, content }: a role is ${[...ROLES].join(", ")}, a content a text.`,
      );
    }
  }
}

function said(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(0, 200).replace(/\.$/, "");
}
