/** A generation on its way to standard output: its text, or for a model without a tokenizer its token ids. */

import type { Prompt } from "../library/generate-options.js";
import type { LanguageModel } from "../library/language-model.js";
import type { GenerationPiece } from "../protocol/generation-request.js";

/** What of a piece is shown: text, or ids with spaces between them. */
export class ShownPieces {
  readonly #hasText: boolean;
  #isFirst = true;

  constructor(model: LanguageModel) {
    this.#hasText = model.tokenizer !== null;
  }

  show({ text, tokens }: Pick<GenerationPiece, "text" | "tokens">): string {
    return this.#hasText ? text : this.#ids(tokens);
  }

  /** What of the prompt is shown before its continuation. */
  prompt(prompt: Prompt): string {
    if (typeof prompt === "string") return prompt;
    return this.#hasText ? "" : this.#ids(prompt);
  }

  #ids(tokens: readonly number[]): string {
    if (tokens.length === 0) return "";
    const separator = this.#isFirst ? "" : " ";
    this.#isFirst = false;
    return separator + tokens.join(" ");
  }
}
