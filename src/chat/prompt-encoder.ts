/**
 * From a rendered prompt to token ids. The special tokens that the template wrote are special; whatever came from a
 * message is plain text, also where it says the same, and also where it would complete what the template began.
 */
import { LastrowError } from "../errors.js";
import { AddedTokenSplitter } from "../tokenizer/added-tokens.js";
import type { SpecialToken, Tokenizer } from "../tokenizer/tokenizer.js";
import type { ToolDefinition } from "../tools/tool.js";
import { givenLength } from "./chat-messages.js";
import { templateFailure } from "./chat-renderer.js";
import type { ChatMessage } from "./chat-template.js";
import type { Run } from "./jinja/text.js";

const WHITE_SPACE = /^\p{White_Space}$/u;
const WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const OTHER = /^[^\p{White_Space}\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;

export class PromptEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #contextLength: number;
  readonly #splitter: AddedTokenSplitter<SpecialToken>;
  /** Characters that no special token has. */
  readonly #space: string;
  readonly #letter: string;
  readonly #other: string;

  /**
   * @param contextLength tokens that a prompt can have at most
   * @throws LastrowError `tokenizer_invalid` where special tokens leave no character of some kind
   */
  constructor(tokenizer: Tokenizer, contextLength: number) {
    const { specialTokens } = tokenizer;
    this.#tokenizer = tokenizer;
    this.#contextLength = contextLength;
    this.#splitter = new AddedTokenSplitter(specialTokens.map((token) => [token.content, token]));
    const used = new Set(specialTokens.map(({ content }) => content).join(""));
    this.#space = firstUnused(used, WHITE_SPACE);
    this.#letter = firstUnused(used, WORD);
    this.#other = firstUnused(used, OTHER);
  }

  /**
   * Token ids of a prompt. The tokenizer's own start token is not added: a template writes its own.
   * @param messages what the prompt was made of, as are `tools`
   * @throws LastrowError as `Tokenizer.encode`; `chat_template_failed` when the template has made more of the messages
   *   than the context could ever hold, which is not tokenised; `context_length_exceeded` when it has of tools and calls
   */
  encode(
    runs: readonly Run[],
    messages: readonly ChatMessage[],
    tools: readonly ToolDefinition[] = [],
  ): number[] {
    const text = runs.map((run) => run.text).join("");
    this.#expectFitting(text.length, messages, tools);
    const shown = runs.map((run) => (run.origin === 0 ? run.text : this.#standIn(run.text))).join("");
    const ids: number[] = [];
    for (const section of this.#splitter.split(shown)) {
      if (section.token !== null) ids.push(section.token.id);
      else {
        const plain = text.slice(section.at, section.at + section.text.length);
        const options = { addSpecialTokens: false, continues: section.at > 0 };
        for (const id of this.#tokenizer.encode(plain, options)) ids.push(id);
      }
    }
    return ids;
  }

  /**
   * The special token that a template writes behind the text of a message, white space between them or not; null where it
   * writes none.
   * @param origin of the message in `runs`
   */
  specialAfter(runs: readonly Run[], origin: number): number | null {
    const at = runs.findLastIndex((run) => run.origin === origin);
    const behind = runs
      .slice(at + 1)
      .map((run) => run.text)
      .join("");
    if (at === -1) return null;
    for (const { text, token } of this.#splitter.split(behind)) {
      if (token !== null) return token.id;
      if (text.trim() !== "") return null;
    }
    return null;
  }

  #expectFitting(length: number, messages: readonly ChatMessage[], tools: readonly ToolDefinition[]): void {
    const contextLength = this.#contextLength;
    const added = messages.reduce((rest, message) => rest - givenLength(message), length);
    // A token has a byte at least. How long the longest one is takes a look at all of them.
    if (added <= contextLength || added <= contextLength * this.#tokenizer.longestToken) return;
    // How much it writes around each tool, and each argument, is up to whoever gave so many.
    if (tools.length > 0 || messages.some(({ toolCalls = [] }) => toolCalls.length > 0)) {
      throw new LastrowError(
        "context_length_exceeded",
        `These messages and tools become ${length} characters, more than ${contextLength} tokens could hold.`,
      );
    }
    throw templateFailure(
      `it adds ${added} characters to these messages, more than ${contextLength} tokens could hold`,
      null,
    );
  }

  /** What stands for a message's text where special tokens are looked for: only its ends count beside one. */
  #standIn(text: string): string {
    let start = 0;
    let end = text.length;
    while (start < end && WHITE_SPACE.test(text[start])) start++;
    while (end > start && WHITE_SPACE.test(text[end - 1])) end--;
    const middle = text.slice(start, end);
    const [first = ""] = /^./su.exec(middle) ?? [];
    const [last = ""] = /.$/su.exec(middle.slice(first.length).slice(-2)) ?? [];
    const kind = (character: string) =>
      (WORD.test(character) ? this.#letter : this.#other).repeat(character.length);
    const between = this.#other.repeat(middle.length - first.length - last.length);
    return (
      this.#space.repeat(start) + kind(first) + between + kind(last) + this.#space.repeat(text.length - end)
    );
  }
}

function firstUnused(used: ReadonlySet<string>, kind: RegExp): string {
  for (let code = 0; code < 0xd800; code++) {
    const character = String.fromCharCode(code);
    if (!used.has(character) && kind.test(character)) return character;
  }
  throw new LastrowError(
    "tokenizer_invalid",
    "The tokenizer's special tokens hold every character of a kind, such as all white space, so a prompt cannot be told from them.",
  );
}
