/**
 * From a rendered prompt to token ids. The special tokens that the template wrote are special; whatever came from a
 * message is plain text, also where it says the same, and also where it would complete what the template began.
 */
import { AddedTokenSplitter } from "../tokenizer/added-tokens.js";
import type { SpecialToken, Tokenizer } from "../tokenizer/tokenizer.js";
import type { Run } from "./jinja/text.js";

const WHITE_SPACE = /^\p{White_Space}$/u;
const WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const OTHER = /^[^\p{White_Space}\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;

export class PromptEncoder {
  readonly #tokenizer: Tokenizer;
  readonly #splitter: AddedTokenSplitter<SpecialToken>;
  /** Characters that no special token has. */
  readonly #space: string;
  readonly #letter: string;
  readonly #other: string;

  constructor(tokenizer: Tokenizer) {
    const { specialTokens } = tokenizer;
    this.#tokenizer = tokenizer;
    this.#splitter = new AddedTokenSplitter(specialTokens.map((token) => [token.content, token]));
    const used = new Set(specialTokens.map(({ content }) => content).join(""));
    this.#space = firstUnused(used, WHITE_SPACE);
    this.#letter = firstUnused(used, WORD);
    this.#other = firstUnused(used, OTHER);
  }

  /**
   * Token ids of a prompt. The tokenizer's own start token is not added: a template writes its own.
   * @throws LastrowError as `Tokenizer.encode`
   */
  encode(runs: readonly Run[]): number[] {
    const text = runs.map((run) => run.text).join("");
    const shown = runs.map((run) => (run.origin === 0 ? run.text : this.#standIn(run.text))).join("");
    const ids: number[] = [];
    for (const section of this.#splitter.split(shown)) {
      if (section.token !== null) ids.push(section.token.id);
      else {
        const plain = text.slice(section.at, section.at + section.text.length);
        for (const id of this.#tokenizer.encode(plain, { addSpecialTokens: false })) ids.push(id);
      }
    }
    return ids;
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
  throw new Error("the special tokens hold every character of a kind");
}
