/** Prompts of a model that may have no tokenizer: then they are ids. */
import type { LanguageModel } from "lastrow";

/** What a view begins with: its text, or as many ids as make a window of a small model full. */
export function firstPrompt(lm: LanguageModel | null, text: string): string {
  if (lm === null || lm.tokenizer !== null) return text;
  const { vocabSize } = lm.info.config;
  return Array.from({ length: 20 }, (_, i) => (7 * i + 3) % vocabSize).join(" ");
}

/**
 * Ids of a prompt as it was typed.
 * @throws LastrowError as `promptTokens`
 */
export function promptTokens(lm: LanguageModel, typed: string): number[] {
  if (lm.tokenizer !== null) return lm.promptTokens(typed);
  return lm.promptTokens(
    typed
      .split(/[\s,]+/)
      .filter((word) => word !== "")
      .map(Number),
  );
}

/** Steps that a view takes by itself: fewer of a model whose rows take longer. */
export function usualSteps(lm: LanguageModel | null): number {
  const parameters = lm?.info.parameters ?? 0;
  return parameters < 3e7 ? 100 : parameters < 2e8 ? 40 : 16;
}
