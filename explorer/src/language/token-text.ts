/** A token as people read it: inside a text, or by itself. */
import type { Tokenizer } from "lastrow";

/** Texts of tokens as one; of a model without a tokenizer their ids. */
export function textOf(tokenizer: Tokenizer | null, tokens: readonly number[]): string {
  return tokenizer === null ? tokens.map((token) => `${token} `).join("") : tokenizer.decode(tokens);
}

/** As a part of a text: its line ends made visible. */
export function tokenText(tokenizer: Tokenizer | null, token: number): string {
  if (tokenizer === null) return String(token);
  if (tokenizer.isSpecial(token)) return `⟨${specialName(tokenizer, token)}⟩`;
  // Models have ids that their tokenizers know nothing of.
  return tokenizer.tokenText(token).replaceAll("\n", "↵") || `⟨${token}⟩`;
}

/** By itself, in a list or beside a row: its spaces made visible, too. */
export function tokenLabel(tokenizer: Tokenizer | null, token: number): string {
  return tokenText(tokenizer, token).replaceAll(" ", "·");
}

/** `end` of the token that ends texts; others by the name that their makers gave them, without its brackets. */
function specialName(tokenizer: Tokenizer, token: number): string {
  if (token === tokenizer.eosTokenId) return "end";
  const text = tokenizer.decode([token], { skipSpecialTokens: false });
  return text.replace(/^[<[]\|?|\|?[>\]]$/g, "") || String(token);
}
