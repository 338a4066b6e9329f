/**
 * From the messages of a conversation to token ids, by a chat template.
 *
 * The text of a message never becomes a special token, whatever it says, while the special tokens that the template
 * itself writes do. So wherever a message holds one, or could complete one that the template began, a mark is put
 * inside; the rendered text is cut at the special tokens that are left unmarked, and what lies between is encoded as
 * plain text, without the marks.
 */
import { Template } from "@huggingface/jinja";
import { LastrowError } from "../errors.js";
import type { SpecialToken, Tokenizer } from "../tokenizer/tokenizer.js";
import type { ChatMessage } from "./chat-template.js";

const ROLES: ReadonlySet<string> = new Set(["system", "developer", "user", "assistant"]);
/** Noncharacters: nothing that people write. One that no message holds becomes the mark. */
const MARKS = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0xfdd0 + i));

/** A template, ready to be filled in. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokenizer: Tokenizer;
  /** Special tokens by their text, the longest first. */
  readonly #specials: ReadonlyMap<string, SpecialToken>;
  readonly #special: RegExp | null;

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
    this.#specials = new Map(
      [...tokenizer.specialTokens]
        .sort((a, b) => b.content.length - a.content.length)
        .map((special) => [special.content, special]),
    );
    const texts = [...this.#specials.keys()].map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.#special = texts.length === 0 ? null : new RegExp(texts.join("|"), "gu");
  }

  /**
   * The token ids of a conversation, the beginning of the assistant's answer at its end unless told otherwise.
   * @throws LastrowError `invalid_argument` for messages that are none, or that the template refuses
   */
  encode(messages: readonly ChatMessage[], addGenerationPrompt = true): number[] {
    checkMessages(messages);
    const mark = MARKS.find((candidate) => !messages.some(({ content }) => content.includes(candidate)));
    if (mark === undefined) {
      throw new LastrowError("invalid_argument", "The messages hold every noncharacter that Unicode has.");
    }
    const rendered = this.#render(
      messages.map(({ role, content }) => ({ role, content: this.#marked(content, mark) })),
      addGenerationPrompt,
    );
    const ids: number[] = [];
    const addPlain = (text: string) => {
      const plain = text.replaceAll(mark, "");
      if (plain !== "") ids.push(...this.#tokenizer.encode(plain, { addSpecialTokens: false }));
    };
    let from = 0;
    if (this.#special !== null) {
      for (const { 0: text, index } of rendered.matchAll(this.#special)) {
        const { id, lstrip, rstrip } = this.#specials.get(text)!;
        const before = rendered.slice(from, index);
        addPlain(lstrip ? before.trimEnd() : before);
        ids.push(id);
        from = index + text.length;
        if (rstrip) from += rendered.slice(from).search(/\S|$/);
      }
    }
    addPlain(rendered.slice(from));
    return ids;
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

  /** A message's text with a mark inside of whatever is, ends or begins a special token. */
  #marked(content: string, mark: string): string {
    let marked = content;
    if (this.#special !== null) {
      // Overlapping ones, too: each pass breaks what the one before has left.
      for (let before = ""; before !== marked; ) {
        before = marked;
        marked = marked.replace(this.#special, (text) => text[0] + mark + text.slice(1));
      }
    }
    const middle = marked.trim();
    const start = marked.indexOf(middle);
    const [lead, trail] = [marked.slice(0, start), marked.slice(start + middle.length)];
    const opens = this.#some((special, k) => middle.startsWith(special.slice(k)));
    const closes = this.#some((special, k) => middle.endsWith(special.slice(0, k)));
    return lead + (opens ? mark : "") + middle + (closes ? mark : "") + trail;
  }

  #some(test: (special: string, cut: number) => boolean): boolean {
    for (const special of this.#specials.keys()) {
      for (let k = 1; k < special.length; k++) if (test(special, k)) return true;
    }
    return false;
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
