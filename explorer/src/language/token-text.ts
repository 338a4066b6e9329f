/** A token as people read it: inside a text, or by itself. */
import type { Tokenizer } from "lastrow";

/** As a part of a text: its line ends made visible. */
export function tokenText(tokenizer: Tokenizer, token: number): string {
  if (tokenizer.isSpecial(token)) return "⟨end⟩";
  return tokenizer.tokenText(token).replaceAll("\n", "↵");
}

/** By itself, in a list or beside a row: its spaces made visible, too. */
export function tokenLabel(tokenizer: Tokenizer | null, token: number): string {
  return tokenizer === null ? String(token) : tokenText(tokenizer, token).replaceAll(" ", "·");
}
