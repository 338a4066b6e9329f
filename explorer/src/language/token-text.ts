/** A token as people read it: line ends and a leading space made visible. */
import type { Tokenizer } from "lastrow";

export function tokenText(tokenizer: Tokenizer, token: number): string {
  if (tokenizer.isSpecial(token)) return "⟨end⟩";
  return tokenizer.tokenText(token).replaceAll("\n", "↵");
}
